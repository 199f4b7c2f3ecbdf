"""Runs the application in uvicorn."""

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
    """Return a socket that accepts connections; port 0 selects a free port. Raises DeviceError."""
    try:
        listener = socket.create_server((host, port), backlog=2048)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise DeviceError(f"cannot listen on {host}, port {port}: {reason}") from None
    # Connections inherit it. Head and body of a response are sent apart: without it the body would wait 40 ms
    # until the client acknowledges the head. asyncio sets it only on sockets that it has created itself.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def make_server(
    app: FastAPI, *, read_seconds: float, grace_seconds: float, end: Callable[[], None] = lambda: None
) -> uvicorn.Server:
    """Return a server whose ``run(sockets=[listener])`` answers requests until SIGTERM or SIGINT.

    It then answers the requests received so far, for at most ``grace_seconds`` or until a second signal, at
    which it calls ``end``. After SIGTERM ``run`` returns; SIGINT is raised again. The server closes a
    connection that sends no complete head of a request within ``read_seconds`` to twice that.
    """

    class Server(uvicorn.Server):
        """Ends at once at a second signal; does not raise SIGTERM again at the end."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if self.should_exit:
                end()
                self.force_exit = True
            if sig == signal.SIGINT:  # uvicorn raises it again once all requests are answered
                super().handle_exit(sig, frame)
            self.should_exit = True

    class Protocol(H11Protocol):
        """Limits the time for a request's head; uvicorn has no such limit."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._check(None)

        def _check(self, seen: Any) -> None:
            """Close a connection that has begun no request since the last check, and is answering none."""
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
