"""Handles Ctrl-C, SIGTERM and SIGHUP alike, as interrupts."""

import atexit
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130
# Windows has no SIGHUP.
INTERRUPTS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_SOON, _LATE = 1.2, 60.0  # seconds until a script must have ended; the same if it has something to save

Handlers = dict[signal.Signals, Any]

_CLEANUPS: list[Callable[[], object]] = []
_ENDING = threading.Lock()


class Interrupts:
    """Handles the three signals as interrupts. Only the outermost context of a process has an effect.

    A *script* is a process that runs one command and then ends, such as `ppose predict`. With ``at_once``, an
    interrupt ends a script immediately: registered cleanups (`cleaned`) run; no library sees an exception,
    since some libraries abort at one, swallow it, or replace it. Without ``at_once``, and within `saves`, an
    interrupt raises KeyboardInterrupt. Python handles no signals while compiled code runs, nor while it shuts
    down; a watching thread therefore ends a script that has not ended after a while. A second interrupt ends
    a script at once.

    In other processes, such as a notebook or a server, or with ``is_guest``, the first interrupt raises
    KeyboardInterrupt, a second does what it would do without ppose, and the old handlers return at the end.
    Outside the main thread, where Python allows no signal handlers, this context does nothing.
    """

    _active: "Interrupts | None" = None
    _saving = 0

    def __init__(self, *, at_once: bool = False, is_guest: bool = False) -> None:
        self._at_once, self._is_guest = at_once, is_guest
        self._before: Handlers = {}
        self.came = self.is_script = False

    def __enter__(self) -> "Interrupts":
        if Interrupts._active is not None:
            return Interrupts._active
        if not _is_main_thread():
            return self
        Interrupts._active = self
        self._owner, self.is_script = os.getpid(), not self._is_guest and _is_alone()
        self._before = handle_interrupts(self._handle)
        if self.is_script:
            atexit.register(self._close)
            self._hide_lost()
            self._watch()
        return self

    def __exit__(self, *_: object) -> None:
        if Interrupts._active is self and not self.is_script:
            Interrupts._active = None
            put_back(self._before)

    def end(self) -> None:
        """End a script as an interrupt does; elsewhere do nothing."""
        if self.is_script:
            with suppress(Exception):  # the signal interrupted a print, or nobody reads the output
                sys.stdout.flush()
            _end()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            end_child(number)
        self.came = True
        let_end(self._before)
        if self._ends_at_once:
            self.end()
        raise KeyboardInterrupt

    @property
    def _ends_at_once(self) -> bool:
        return self._at_once and not Interrupts._saving

    def _watch(self) -> None:
        """Start the thread that receives signals while Python does not handle any."""
        with suppress(OSError, RuntimeError):  # no free descriptor or thread
            bell, ringing = socket.socketpair()  # Windows cannot wait for a pipe
            ringing.setblocking(False)
            threading.Thread(target=self._see_to_the_end, args=(bell,), daemon=True).start()
            signal.set_wakeup_fd(ringing.detach(), warn_on_full_buffer=False)

    def _see_to_the_end(self, bell: socket.socket) -> None:
        end = None
        while select.select([bell], [], [], None if end is None else max(0, end - time.monotonic()))[0]:
            for number in bell.recv(64):
                if number not in self._before or not (self.came or signal.getsignal(number) == self._handle):
                    continue  # other signals, and those that others handle, such as a server
                if end is not None:
                    _end()
                end = time.monotonic() + (_SOON if self._ends_at_once else _LATE)
        _end()

    def _close(self) -> None:
        """Ignore signals from now on: the work is done, and libraries shut down undisturbed."""
        put_back(dict.fromkeys(self._before, signal.SIG_IGN))

    def _hide_lost(self) -> None:
        """Print nothing about a KeyboardInterrupt raised where Python cannot propagate it."""
        show = sys.unraisablehook

        def hook(lost: Any) -> None:
            if not issubclass(lost.exc_type, KeyboardInterrupt):
                show(lost)

        sys.unraisablehook = hook


def handle_interrupts(handler: Callable[[int, FrameType | None], object]) -> Handlers:
    """Set the handler of interrupts, and return the previous handlers for `put_back`. Main thread only.

    Signals that are ignored (SIGHUP under nohup) or handled outside Python are left alone.
    """
    numbers = [number for number in INTERRUPTS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    return {number: signal.signal(number, handler) for number in numbers}


def let_end(before: Handlers) -> None:
    """Let the next interrupt end a script at once; elsewhere, restore the handlers of ``before``."""
    is_script = Interrupts._active is not None and Interrupts._active.is_script
    put_back(dict.fromkeys(before, signal.SIG_DFL) if is_script else before)


def put_back(handlers: Handlers) -> None:
    """Set these handlers."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextmanager
def keeping_handlers() -> Iterator[None]:
    """Restores the handlers at its end, for libraries that replace them. Main thread only."""
    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    try:
        yield
    finally:
        if _is_main_thread():
            put_back({number: handler for number, handler in before.items() if handler is not None})


@contextmanager
def saves() -> Iterator[None]:
    """Within it, an interrupt raises KeyboardInterrupt, so that finished work can be saved."""
    Interrupts._saving += 1
    try:
        yield
    finally:
        Interrupts._saving -= 1


@contextmanager
def cleaned(cleanup: Callable[[], object]) -> Iterator[None]:
    """Calls ``cleanup`` at its end, and if an interrupt ends the process within it.

    ``cleanup`` may be called twice. A forked child does not call it.
    """
    _CLEANUPS.append(cleanup)
    try:
        yield
    finally:
        if cleanup in _CLEANUPS:
            cleanup()
            _CLEANUPS.remove(cleanup)


@contextmanager
def held() -> Iterator[None]:
    """Delays interrupts until its end. For a few milliseconds; without effect outside the main thread."""
    if not _is_main_thread():
        yield
        return
    came: list[int] = []
    before = handle_interrupts(lambda number, _: came.append(number))
    try:
        yield
    finally:
        put_back(before)
        if came:
            signal.raise_signal(came[0])


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Child processes started within it do not receive a terminal's Ctrl-C: this process ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_child(number: int, frame: FrameType | None = None) -> NoReturn:
    """Signal handler of a forked process: run its cleanups and exit."""
    _clean()
    os._exit(128 + number)


def _clean() -> None:
    for cleanup in reversed(tuple(_CLEANUPS)):
        with suppress(Exception):
            cleanup()


def _end() -> NoReturn:
    _ENDING.acquire(timeout=1)  # the main and the watching thread may both get here
    _clean()
    if "multiprocessing" in sys.modules:
        from multiprocessing import active_children

        with suppress(Exception):
            for child in active_children():
                child.terminate()
    with suppress(OSError):  # the terminal is gone
        os.write(2, b"\ninterrupted\n" if os.isatty(2) else b"interrupted\n")
    os._exit(INTERRUPTED)


def _forget() -> None:
    """In a forked process: drop the cleanups and signals of its parent."""
    _CLEANUPS.clear()
    if Interrupts._active is not None and Interrupts._active.is_script:
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_alone() -> bool:
    """Whether the process's own script called ppose directly."""
    frame = called = sys._getframe()
    while frame.f_back is not None:
        called, frame = frame, frame.f_back
    return str(called.f_globals.get("__name__")).startswith("ppose.")
