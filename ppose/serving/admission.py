"""Limits the number of concurrent requests for poses."""

import asyncio
import time

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ppose.serving.metrics import Metrics

_LONGEST_HEAD = 32 << 10  # bytes


class Admission:
    """ASGI middleware: counts and times requests to ``path``; beyond ``most`` at once it answers 503.

    A request to any path whose head is longer than 32 KiB gets 431, since uvicorn limits only heads that
    arrive in parts. An admitted request holds a body of limited size for a limited time, so ``most`` also
    bounds the memory.
    """

    def __init__(self, app: ASGIApp, *, path: str, most: int, metrics: Metrics) -> None:
        self._app, self._path, self._most, self._metrics = app, path, most, metrics
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] == "http" and _measure_head(scope) > _LONGEST_HEAD:
            await JSONResponse({"detail": "the head is too long"}, 431)(scope, receive, send)
            return
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return
        status, has_begun = 500, False

        async def note(message: Message) -> None:
            nonlocal status, has_begun
            status, has_begun = message.get("status", status), True
            await send(message)

        start = time.perf_counter()
        self._count(+1)
        try:
            if self._now > self._most:
                busy = {"detail": f"{self._most} requests are being answered; try again later"}
                await JSONResponse(busy, 503, {"Retry-After": "1"})(scope, receive, note)
            else:
                await self._app(scope, receive, note)
        except asyncio.CancelledError:  # the server ends without waiting any longer
            if not has_begun:
                await JSONResponse({"detail": "the server is shutting down"}, 503)(scope, receive, note)
        finally:
            self._count(-1)
            self._metrics.requests.labels(str(status)).inc()
            self._metrics.seconds.observe(time.perf_counter() - start)

    def _count(self, step: int) -> None:
        self._now += step
        self._metrics.in_flight.set(self._now)


def _measure_head(scope: Scope) -> int:
    headers = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return len(scope["path"]) + len(scope["query_string"]) + headers
