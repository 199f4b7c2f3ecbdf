"""Clients of a server with little load of their own: one thread's sockets send prepared bytes."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

_HEAD_END, _LENGTH = b"\r\n\r\n", b"\r\ncontent-length: "
_PAUSE = 0.2  # seconds after an answer other than 200


@dataclass
class Answers:
    """Seconds to each answer of status 200, the count of each status, and of requests with a lost connection.

    ``cpu_seconds`` is the clients' own CPU time within ``seconds``.
    """

    times: list[float] = field(default_factory=list)
    statuses: Counter = field(default_factory=Counter)
    lost: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def ask(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Answers:
    """Send requests by this number of clients, each after its last answer; waits for all answers."""
    answers = Answers()
    start, cpu = time.perf_counter(), time.process_time()
    asyncio.run(_ask(port, requests, clients, start + seconds, answers))
    answers.seconds, answers.cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    return answers


async def _ask(port: int, requests: Sequence[bytes], clients: int, end: float, answers: Answers) -> None:
    loop = asyncio.get_running_loop()
    made = [_Client(requests[turn::clients] or requests, end, answers, loop) for turn in range(clients)]
    for client in made:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)
    await asyncio.gather(*(client.done for client in made))


class _Client(asyncio.Protocol):
    """A persistent connection; ``done`` after its time and its last answer."""

    def __init__(
        self, requests: Sequence[bytes], end: float, answers: Answers, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._requests, self._end, self._answers, self._loop = requests, end, answers, loop
        self._turn, self._answer, self._whole = 0, bytearray(), None
        self.done = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if self._whole is None and (head := self._answer.find(_HEAD_END)) >= 0:
            at = self._answer.lower().find(_LENGTH, 0, head) + len(_LENGTH)
            self._whole = head + len(_HEAD_END) + int(self._answer[at : self._answer.find(b"\r", at)])
        if self._whole is None or len(self._answer) < self._whole:
            return
        status = int(self._answer[9:12])
        self._answers.statuses[status] += 1
        if status == 200:
            self._answers.times.append(time.perf_counter() - self._start)
            self._ask()
        else:
            self._loop.call_later(_PAUSE, self._ask)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self._answers.lost += 1
            self.done.set_result(None)

    def _ask(self) -> None:
        self._answer, self._whole = bytearray(), None
        self._start = time.perf_counter()
        if self._start >= self._end:
            self.done.set_result(None)
            self._transport.close()
            return
        self._transport.write(self._requests[self._turn % len(self._requests)])
        self._turn += 1
