"""Who may talk to the server, how much they may send, and which files they may reach."""

from __future__ import annotations

import os
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, urlsplit

from dosegrad.errors import SettingsError

__all__ = ["LOCAL_HOSTS", "Access", "Guard", "confined", "new_token"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Names by which a machine calls itself.
LOCAL_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})

#: Bytes that a file's name may have on common systems.
_LONGEST: Final = 255
_COOKIE: Final = "dosegrad_token"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FORBIDDEN: Final = 4403


@dataclass(frozen=True, slots=True)
class Access:
    """What the server lets in.

    Parameters
    ----------
    token
        Must come with every request, in the address or a cookie; ``None`` where only this machine
        can reach the server.
    any_host
        Whether requests may name any host; otherwise only those of :data:`LOCAL_HOSTS`, which
        stops pages elsewhere whose name has been pointed at this machine.
    max_body
        Bytes of a request's body.
    """

    token: str | None = None
    any_host: bool = False
    max_body: int = 8_000_000

    @classmethod
    def for_host(cls, host: str) -> Access:
        """Only this machine where ``host`` is its own name; a new token otherwise."""
        if host in LOCAL_HOSTS:
            return cls()
        return cls(token=new_token(), any_host=True)


def new_token() -> str:
    """A token that cannot be guessed."""
    return secrets.token_urlsafe(24)


def confined(root: Path, name: str) -> Path:
    """The file or folder ``name`` below ``root``, links followed.

    Raises
    ------
    SettingsError
        If it would lie elsewhere; the message does not tell what is there.
    """
    base = root.resolve()
    if any(len(os.fsencode(part)) > _LONGEST for part in Path(name).parts):
        raise SettingsError("that path has a name that is too long; choose a shorter one.")
    try:
        place = (base / name).resolve()
    except (OSError, ValueError, RuntimeError):
        place = None
    if place is None or "\0" in name or not place.is_relative_to(base):
        raise SettingsError(
            "that path leads out of the folder the server was started in; choose one below it."
        )
    return place


class Guard:
    """Middleware that turns away what may not enter, and adds headers that confine pages."""

    def __init__(self, app: Asgi, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(scope, receive, send, *refusal)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            fresh = self._access.token if self._names_token(scope) else None
            limited = _limited(receive, self._access.max_body)
            await self._app(scope, limited, _with_headers(send, headers.get("host", ""), fresh))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and reason where a request may not enter."""
        host = headers.get("host", "")
        if not self._access.any_host and _name_of(host) not in LOCAL_HOSTS:
            return 403, "This server answers this machine only."
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        origin = headers.get("origin")
        if changes and origin is not None and urlsplit(origin).netloc != host:
            return 403, "Requests from other pages are not answered."
        if scope["type"] == "websocket" and origin is None:
            return 403, "A WebSocket must say where it comes from."
        if self._access.token is not None and not self._has_token(scope, headers):
            return 401, "Open the address that the server printed; it holds the token."
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._access.max_body:
            return 413, f"More than {self._access.max_body // 1_000_000} MB cannot be sent."
        return None

    def _names_token(self, scope: Scope) -> bool:
        """Whether the address holds the right token."""
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        return any(self._is_token(given) for given in query.get("token", [])[:1])

    def _is_token(self, given: str) -> bool:
        wanted = self._access.token
        return wanted is not None and secrets.compare_digest(given.encode(), wanted.encode())

    def _has_token(self, scope: Scope, headers: dict[str, str]) -> bool:
        cookies = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            cookies = SimpleCookie()
        held = cookies[_COOKIE].value if _COOKIE in cookies else ""
        return self._names_token(scope) or self._is_token(held)


def _name_of(host: str) -> str:
    """A host without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.rpartition(":")[0] if ":" in host else host


def _limited(receive: Receive, limit: int) -> Receive:
    """``receive`` that ends a body which turns out longer than its header said."""
    total = 0

    async def read() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            return {"type": "http.disconnect"}
        return message

    return read


def _with_headers(send: Send, host: str, token: str | None) -> Send:
    """``send`` that adds headers to an answer."""
    policy = (
        "default-src 'self'; script-src 'self'; img-src 'self' data: blob:; "
        "style-src 'self' 'unsafe-inline'; "
        f"connect-src 'self' ws://{host} wss://{host}; object-src 'none'; base-uri 'none'; "
        "frame-ancestors 'none'; form-action 'self'"
    )
    added = [
        (b"content-security-policy", policy.encode("latin-1")),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cache-control", b"no-cache"),
    ]
    if token is not None:
        cookie = f"{_COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"
        added.append((b"set-cookie", cookie.encode("latin-1")))

    async def forward(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return forward


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": _FORBIDDEN, "reason": reason})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})
