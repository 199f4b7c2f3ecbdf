"""Uvicorn as it runs the application."""

import os
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from ppose.errors import DeviceError

_REFUSAL = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections; port 0 takes a free one. Raises DeviceError."""
    try:
        listener = socket.create_server((host, port), backlog=2048)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise DeviceError(f"cannot listen on {host}, port {port}: {reason}") from None
    # Its connections have it, too. An answer's head and body go apart: the body would wait 40 ms until the
    # client acknowledges the head. asyncio sets it by itself only where it has made the socket.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def make_server(
    app: FastAPI, *, read_seconds: float, grace_seconds: float, end: Callable[[], None] = lambda: None
) -> uvicorn.Server:
    """A server, whose ``run(sockets=[listener])`` answers until SIGTERM, which is the end, or SIGINT.

    What has come by then is answered, for ``grace_seconds`` at most, or until a second signal, at which it
    calls ``end``. A connection that sends no whole head of a request for ``read_seconds``, or up to twice
    that, is ended.
    """

    class Server(uvicorn.Server):
        """With an end at once at a second signal, and none by the signal itself after SIGTERM."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if self.should_exit:
                end()
                self.force_exit = True
            if sig == signal.SIGINT:  # which uvicorn raises again when all is answered
                super().handle_exit(sig, frame)
            self.should_exit = True

    class Protocol(H11Protocol):
        """With a limit on the time of a head, which uvicorn has not."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._check(None)

        def _check(self, seen: Any) -> None:
            """End a connection that has begun no request since the last look, and answers none."""
            if self.transport.is_closing():
                return
            idle = self.cycle is None or self.cycle.response_complete
            if seen is not None and idle and self.cycle is seen[0]:
                if self.cycle is None:
                    self.transport.write(_REFUSAL)
                self.transport.close()
                return
            self.loop.call_later(read_seconds, self._check, (self.cycle,))

    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=round(grace_seconds),
    )
    return Server(config)
