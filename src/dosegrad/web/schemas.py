"""What texts from pages are checked with."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Length", "Model", "Name", "Position"]


class Model(BaseModel):
    """Base of messages: nothing unknown, no infinities, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


#: A position in a section, mm.
Position: TypeAlias = Annotated[float, Field(ge=-500.0, le=500.0)]
#: A length, mm.
Length: TypeAlias = Annotated[float, Field(gt=0.0, le=500.0)]
#: What something is called.
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=24, pattern=r"^[^<>:\n\r\t]+$")]
