"""Messages between the server and a work process: JSON with bytes behind it, never pickles."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Mapping
from typing import IO, Any, Final

__all__ = ["Channel"]

_HEAD: Final = struct.Struct("<IQ")


class Channel:
    """Messages over a pair of byte streams; several threads may send.

    Each message is: length of the JSON (uint32), number of bytes behind it (uint64), both little
    endian, the JSON, the bytes.
    """

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self._source = source
        self._sink = sink
        self._lock = threading.Lock()

    def send(self, content: Mapping[str, Any], data: bytes = b"") -> None:
        """Send one message; :class:`OSError` if nobody is there any more."""
        text = json.dumps(content, separators=(",", ":"), allow_nan=False).encode()
        with self._lock:
            self._sink.write(_HEAD.pack(len(text), len(data)))
            self._sink.write(text)
            self._sink.write(data)
            self._sink.flush()

    def receive(self) -> tuple[dict[str, Any], bytes] | None:
        """The next message; ``None`` once the other side has gone."""
        head = self._source.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        n_text, n_data = _HEAD.unpack(head)
        text, data = self._source.read(n_text), self._source.read(n_data)
        if len(text) < n_text or len(data) < n_data:
            return None
        return json.loads(text), data
