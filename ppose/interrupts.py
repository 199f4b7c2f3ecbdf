"""What Ctrl-C and the other signals that ask a process to end do to it."""

import atexit
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

INTERRUPTED = 130
# Windows has no SIGHUP.
INTERRUPTS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_SOON, _LATE = 1.2, 60.0  # seconds to the end where Python does not get to it; where something is to be saved

_CLEANUPS: list[Callable[[], object]] = []
_ENDING = threading.Lock()


class Interrupts:
    """Within it, SIGTERM and SIGHUP are as Ctrl-C, and the second of them is the end.

    In a script's process the first is the end, too, with ``at_once``, but within `saves`: what is `cleaned`
    goes, and no library sees an exception, which some abort at, lose, or make others of. Elsewhere
    KeyboardInterrupt is raised. A script's end does not wait for compiled code, in which Python hears no
    signals; a signal while Python ends is the same, and one that comes later changes nothing.
    """

    _active: "Interrupts | None" = None
    _saving = 0

    def __init__(self, *, at_once: bool = False) -> None:
        self._at_once = at_once
        self._before: dict[signal.Signals, Any] = {}
        self.came = self._is_script = False

    def __enter__(self) -> "Interrupts":
        if Interrupts._active is not None:
            return Interrupts._active
        Interrupts._active = self
        self._owner, self._is_script = os.getpid(), _is_alone()
        for number in INTERRUPTS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                self._before[number] = signal.signal(number, self._handle)
        sys.meta_path.insert(0, _TakeBack)
        if self._is_script:
            atexit.register(self._close)
            self._hide_lost()
            self._watch()
        return self

    def __exit__(self, *_: object) -> None:
        if Interrupts._active is not self or self._is_script:
            return
        Interrupts._active = None
        sys.meta_path.remove(_TakeBack)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def end(self) -> None:
        """End a script's process as an interrupt does; elsewhere nothing."""
        if self._is_script:
            with suppress(Exception):  # where a signal came into its writing, or nobody reads it
                sys.stdout.flush()
            _end()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            end_child(number)
        self.came = True
        for again in self._before:
            signal.signal(again, signal.SIG_DFL)
        if self._ends_at_once:
            self.end()
        raise KeyboardInterrupt

    @property
    def _ends_at_once(self) -> bool:
        return self._at_once and not Interrupts._saving

    def _watch(self) -> None:
        """Start the thread that the system tells of signals, when Python does not come to it."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=self._see_to_the_end, args=(reading,), daemon=True).start()

    def _see_to_the_end(self, reading: int) -> None:
        limit = None
        while select.select([reading], [], [], limit)[0]:
            for number in os.read(reading, 64):
                if number not in self._before or not (self.came or signal.getsignal(number) == self._handle):
                    continue  # others' signals, and those that others handle, such as a server
                if limit is not None:
                    _end()
                limit = _SOON if self._ends_at_once else _LATE
        _end()

    def _close(self) -> None:
        """Hear no signals any more, since all is done: they would end what libraries do at last."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def _hide_lost(self) -> None:
        """Let nothing be printed of a KeyboardInterrupt that came where Python cannot raise it."""
        show = sys.unraisablehook

        def hook(lost: Any) -> None:
            if not issubclass(lost.exc_type, KeyboardInterrupt):
                show(lost)

        sys.unraisablehook = hook


def end_child(number: int, frame: FrameType | None = None) -> None:
    """What a signal does to a process that was forked."""
    _clean()
    os._exit(128 + number)


@contextmanager
def saves() -> Iterator[None]:
    """Within it, an interrupt is KeyboardInterrupt, at which what is done is saved."""
    Interrupts._saving += 1
    try:
        yield
    finally:
        Interrupts._saving -= 1


@contextmanager
def cleaned(cleanup: Callable[[], object]) -> Iterator[None]:
    """Do this at the end, and if an interrupt ends the process before; it may be called twice."""
    _CLEANUPS.append(cleanup)
    try:
        yield
    finally:
        cleanup()
        _CLEANUPS.remove(cleanup)


@contextmanager
def held() -> Iterator[None]:
    """Within it, for milliseconds, interrupts wait.

    In another thread than the main one, to which they come, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Processes that are started within it do not get a terminal's Ctrl-C: we end them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _TakeBack:
    """Takes SIGTERM back from Paddle, which takes it as it is imported, at the next import."""

    @staticmethod
    def find_spec(*_: Any) -> None:
        """Nothing is found here."""
        if "paddle.base" in sys.modules and threading.current_thread() is threading.main_thread():
            for number in INTERRUPTS:
                if callable(handler := signal.getsignal(number)):
                    signal.signal(number, handler)


def _clean() -> None:
    for cleanup in reversed(_CLEANUPS):
        with suppress(Exception):
            cleanup()


def _end() -> None:
    _ENDING.acquire(timeout=1)  # two threads may come to it
    _clean()
    if "multiprocessing" in sys.modules:
        from multiprocessing import active_children

        with suppress(Exception):
            for child in active_children():
                child.terminate()
    os.write(2, b"\ninterrupted\n" if os.isatty(2) else b"interrupted\n")
    os._exit(INTERRUPTED)


def _forget() -> None:
    """In a process that was forked: what is its parent's to clean is not its own."""
    _CLEANUPS.clear()
    if Interrupts._active is not None:
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _is_alone() -> bool:
    """Whether a script has nothing to do after the command that it has called."""
    frame = called = sys._getframe()
    while frame.f_back is not None:
        called, frame = frame, frame.f_back
    return str(called.f_globals.get("__name__")).startswith("ppose.")
