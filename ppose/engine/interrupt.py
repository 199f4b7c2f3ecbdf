"""Ctrl-C, SIGTERM and SIGHUP end a training run after its step, with its state saved."""

import os
import signal
from types import FrameType, TracebackType

from ppose.engine.distributed.ranks import rank_count
from ppose.engine.trainer import Trainer
from ppose.interrupts import Handlers, handle_interrupts, let_end, put_back


class StopOnSignal:
    """Within it, the first of these signals stops the trainer after its step; the second ends the process.

    Of several ranks the second does nothing: the launcher sends it three times, and SIGKILL after 30 s.
    ``received`` is the signal that came, or None. To be entered in the main thread.
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
            # A loader's worker inherits this handler. A terminal's Ctrl-C goes to it too, which the trainer
            # deals with; whoever sends it another means it.
            if number != signal.SIGINT:
                os._exit(128 + number)
            return
        self.received = signal.Signals(number)
        self._trainer.stop(interrupted=True)
        if rank_count() > 1:
            return
        let_end(self._before)
        # os.write, since print may be in the middle of a line that this signal came into.
        os.write(2, f"\n{self.received.name}: saving after this step (again: leave at once)\n".encode())
