"""The kinds of machine that a plan may be for."""

from __future__ import annotations

from typing import TypeAlias

from dosegrad.machine.particle import ParticleMachine
from dosegrad.machine.photon import PhotonMachine

__all__ = ["Machine"]

#: What delivers spots or bixels.
Machine: TypeAlias = ParticleMachine | PhotonMachine
