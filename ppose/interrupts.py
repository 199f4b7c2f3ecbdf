"""What Ctrl-C, SIGTERM and SIGHUP do to a process: here they are one, and called interrupts."""

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
_SOON, _LATE = 1.2, 60.0  # seconds that a script has to its end; that it has where something is to be saved

Handlers = dict[signal.Signals, Any]

_CLEANUPS: list[Callable[[], object]] = []
_ENDING = threading.Lock()


class Interrupts:
    """Within it, all three signals are interrupts; once in a process, further ones within it do nothing.

    A *script* is a process that does one command and then ends, such as `ppose predict`. With ``at_once``, an
    interrupt ends it then and there: what is `cleaned` goes, and no library sees an exception, at which some
    abort, or which they lose, or raise another for. Without it, and within `saves`, KeyboardInterrupt is
    raised. Python does not hear signals while compiled code runs, nor at its own end, so that a thread ends
    the script after a while if nothing else has. A second interrupt ends it without anything more.

    Elsewhere, as in a notebook or a server, others go on afterwards: the first interrupt raises
    KeyboardInterrupt, a second does what it would do without ppose, and the handlers are put back at the end.
    So it is with ``is_guest``, whoever calls. In another thread than the main one, where Python lets nobody
    handle signals, it does nothing at all.
    """

    _active: "Interrupts | None" = None
    _saving = 0

    def __init__(self, *, at_once: bool = False, is_guest: bool = False) -> None:
        self._at_once, self._is_guest = at_once, is_guest
        self._before: Handlers = {}
        self.came = self._is_script = False

    def __enter__(self) -> "Interrupts":
        if Interrupts._active is not None:
            return Interrupts._active
        if not _is_main_thread():
            return self
        Interrupts._active = self
        self._owner, self._is_script = os.getpid(), not self._is_guest and _is_alone()
        self._before = handle_interrupts(self._handle)
        if self._is_script:
            atexit.register(self._close)
            self._hide_lost()
            self._watch()
        return self

    def __exit__(self, *_: object) -> None:
        if Interrupts._active is self and not self._is_script:
            Interrupts._active = None
            put_back(self._before)

    def end(self) -> None:
        """End a script as an interrupt does; elsewhere nothing."""
        if self._is_script:
            with suppress(Exception):  # where a signal came into its writing, or nobody reads it
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
        """Start the thread that hears of signals from the system, even while Python does not."""
        with suppress(OSError, RuntimeError):  # where there can be no descriptor or thread more
            bell, ringing = socket.socketpair()  # Windows cannot wait for a pipe
            ringing.setblocking(False)
            threading.Thread(target=self._see_to_the_end, args=(bell,), daemon=True).start()
            signal.set_wakeup_fd(ringing.detach(), warn_on_full_buffer=False)

    def _see_to_the_end(self, bell: socket.socket) -> None:
        end = None
        while select.select([bell], [], [], None if end is None else max(0, end - time.monotonic()))[0]:
            for number in bell.recv(64):
                if number not in self._before or not (self.came or signal.getsignal(number) == self._handle):
                    continue  # others' signals, and those that others handle, such as a server
                if end is not None:
                    _end()
                end = time.monotonic() + (_SOON if self._ends_at_once else _LATE)
        _end()

    def _close(self) -> None:
        """Hear no signals any more, since all is done: they would end what libraries do at last."""
        put_back(dict.fromkeys(self._before, signal.SIG_IGN))

    def _hide_lost(self) -> None:
        """Let nothing be printed of a KeyboardInterrupt that came where Python cannot raise it."""
        show = sys.unraisablehook

        def hook(lost: Any) -> None:
            if not issubclass(lost.exc_type, KeyboardInterrupt):
                show(lost)

        sys.unraisablehook = hook


def handle_interrupts(handler: Callable[[int, FrameType | None], object]) -> Handlers:
    """Let interrupts call this; returns the handlers before, for `put_back`. For the main thread.

    Those that are ignored, as SIGHUP is under nohup, stay so, and those that are handled outside of Python.
    """
    numbers = [number for number in INTERRUPTS if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    return {number: signal.signal(number, handler) for number in numbers}


def let_end(before: Handlers) -> None:
    """Let the next interrupt end a script without anything more; elsewhere, be as it was ``before``."""
    is_script = Interrupts._active is not None and Interrupts._active._is_script
    put_back(dict.fromkeys(before, signal.SIG_DFL) if is_script else before)


def put_back(handlers: Handlers) -> None:
    """Let these signals be handled so."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextmanager
def keeping_handlers() -> Iterator[None]:
    """Within it, a library may take interrupts for itself; then they are put back, in the main thread."""
    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    try:
        yield
    finally:
        if _is_main_thread():
            put_back({number: handler for number, handler in before.items() if handler is not None})


@contextmanager
def saves() -> Iterator[None]:
    """Within it, an interrupt is KeyboardInterrupt, so that what is done by then can be saved."""
    Interrupts._saving += 1
    try:
        yield
    finally:
        Interrupts._saving -= 1


@contextmanager
def cleaned(cleanup: Callable[[], object]) -> Iterator[None]:
    """Call ``cleanup`` at the end, and also where an interrupt ends the process within it.

    It may be called twice. A process that is forked within it does not call it: it is its parent's.
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
    """Within it, for milliseconds, interrupts wait.

    They come to the main thread: in another one it does nothing.
    """
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
    """Processes that are started within it do not get a terminal's Ctrl-C: this one ends them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_child(number: int, frame: FrameType | None = None) -> NoReturn:
    """End a process that was forked, at a signal: what is `cleaned` in it goes. A handler of signals."""
    _clean()
    os._exit(128 + number)


def _clean() -> None:
    for cleanup in reversed(tuple(_CLEANUPS)):
        with suppress(Exception):
            cleanup()


def _end() -> NoReturn:
    _ENDING.acquire(timeout=1)  # the main thread and the one that watches may both come to it
    _clean()
    if "multiprocessing" in sys.modules:
        from multiprocessing import active_children

        with suppress(Exception):
            for child in active_children():
                child.terminate()
    with suppress(OSError):  # where there is no terminal any more
        os.write(2, b"\ninterrupted\n" if os.isatty(2) else b"interrupted\n")
    os._exit(INTERRUPTED)


def _forget() -> None:
    """In a process that was forked: what its parent cleans and watches is not its own."""
    _CLEANUPS.clear()
    if Interrupts._active is not None and Interrupts._active._is_script:
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_alone() -> bool:
    """Whether the first code of the process, a few lines of a script, has called ppose right away."""
    frame = called = sys._getframe()
    while frame.f_back is not None:
        called, frame = frame, frame.f_back
    return str(called.f_globals.get("__name__")).startswith("ppose.")
