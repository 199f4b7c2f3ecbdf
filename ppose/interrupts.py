"""What Ctrl-C and the other signals that ask a process to end do to it."""

import os
import signal
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
    """Within it, an interrupt ends a command's process soon, after the cleanup, whatever becomes of it.

    Libraries lose interrupts, and hear nothing of them as long as their compiled code runs: of that the
    signals are told by the system, not by Python.
    """
    _CLEANUPS.append(cleanup)
    told = _watch() if _is_ours() and len(_CLEANUPS) == 1 else None
    try:
        yield
    finally:
        _CLEANUPS.remove(cleanup)
        if told is not None:
            signal.set_wakeup_fd(-1)
            os.close(told)


def _is_ours() -> bool:
    """Whether interrupts are a command's, and this is the thread that has them."""
    handlers = (getattr(signal.getsignal(number), "__self__", None) for number in INTERRUPTS)
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and any(isinstance(handler, Interrupts) for handler in handlers)


def _watch() -> int:
    """Start to wait for signals; returns what the system writes them to, and closing ends it."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_end_soon, args=(reading,), daemon=True).start()
    return writing


def _end_soon(reading: int) -> None:
    with open(reading, "rb", buffering=0) as signals:
        while number := signals.read(1):
            if number[0] in INTERRUPTS:
                time.sleep(_SOON)
                if _CLEANUPS:
                    for cleanup in _CLEANUPS:
                        cleanup()
                    os.write(2, b"interrupted\n")
                    os._exit(INTERRUPTED)


def _forget_watch() -> None:
    """In a process that was forked: its signals are none of its parent's."""
    if _CLEANUPS:
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_watch)
