"""Stops a training run on Ctrl-C, SIGTERM or SIGHUP after the current step, with its state saved."""

import os
import signal
from types import FrameType, TracebackType

from ppose.engine.distributed.ranks import rank_count
from ppose.engine.trainer import Trainer
from ppose.interrupts import Handlers, handle_interrupts, let_end, put_back


class StopOnSignal:
    """Context in which the first signal stops the trainer after its step, and a second one ends the process.

    With several ranks a second signal does nothing: the launcher sends three, and SIGKILL after 30 s.
    ``received`` is the signal, or None. Enter it in the main thread.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._owner = os.getpid()
        self._before: Handlers = {}
        self.received: signal.Signals | None = None

    def __enter__(self) -> "StopOnSignal":
        self._before = handle_interrupts(self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        put_back(self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            # A loader's worker inherits this handler. It ignores a terminal's Ctrl-C, which the trainer
            # handles; any other signal is meant for the worker itself.
            if number != signal.SIGINT:
                os._exit(128 + number)
            return
        self.received = signal.Signals(number)
        self._trainer.stop(interrupted=True)
        if rank_count() > 1:
            return
        let_end(self._before)
        # os.write, since the signal may have interrupted a print.
        os.write(2, f"\n{self.received.name}: saving after this step (again: quit at once)\n".encode())
