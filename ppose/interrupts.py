"""What Ctrl-C and the other signals that ask a process to end do to it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 130
# Windows has no SIGHUP.
INTERRUPTS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupts:
    """Within it, SIGTERM and SIGHUP are as Ctrl-C: KeyboardInterrupt, and at the second time the end."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._before: dict[signal.Signals, Any] = {}
        self.came = False

    def __enter__(self) -> "Interrupts":
        for number in INTERRUPTS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a process that was forked
            os._exit(128 + number)
        self.came = True
        for again in self._before:
            signal.signal(again, signal.SIG_DFL)
        if _CLEANUPS:
            threading.Thread(target=_end_soon, daemon=True).start()
        raise KeyboardInterrupt


def renew_interrupts() -> None:
    """Take this process's signals back from Paddle, which takes SIGTERM for itself as it is imported."""
    if threading.current_thread() is threading.main_thread():
        for number in INTERRUPTS:
            if callable(handler := signal.getsignal(number)):
                signal.signal(number, handler)


_CLEANUPS: list[Callable[[], object]] = []
_SOON = 1.5  # seconds


@contextmanager
def ends_soon(cleanup: Callable[[], object]) -> Iterator[None]:
    """Within it, an interrupt ends a script at once, after the cleanup; also one that a library loses.

    What Paddle does at the end of a process takes seconds, and is left out.
    """
    _CLEANUPS.append(cleanup)
    try:
        yield
    except KeyboardInterrupt:
        if _is_alone():
            _end()
        raise
    finally:
        _CLEANUPS.remove(cleanup)


def _end_soon() -> None:
    time.sleep(_SOON)
    if _CLEANUPS:
        _end()


def _end() -> None:
    for cleanup in _CLEANUPS:
        cleanup()
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


def _is_alone() -> bool:
    """Whether a script has nothing to do after the command that it has called."""
    frame = called = sys._getframe()
    while frame.f_back is not None:
        called, frame = frame, frame.f_back
    return str(called.f_globals.get("__name__")).startswith("ppose.")
