"""Interrupts where ppose is a guest in somebody's program; tests/test_commandline.py has those of scripts."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ppose.cli import run_command
from ppose.commands import convert
from ppose.engine.interrupt import StopOnSignal
from ppose.interrupts import INTERRUPTS, Interrupts, cleaned, held, keeping_handlers, put_back

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def calls():
    """Signals that come to the program's own handlers."""
    calls = []
    before = {number: signal.signal(number, lambda number, _: calls.append(number)) for number in INTERRUPTS}
    yield calls
    put_back(before)


def test_a_guest_raises_once_and_leaves_nothing(calls, monkeypatch):
    """Jupyter's users press Ctrl-C twice, which is not to end the kernel."""
    before, hooks, descriptors = signal.getsignal(signal.SIGTERM), list(sys.meta_path), os.listdir("/dev/fd")

    def work(*_):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            raise

    monkeypatch.setattr(convert, "main", work)
    with pytest.raises(SystemExit) as leave:
        run_command("convert", ["a", "b"])
    assert (leave.value.code, calls) == (130, [signal.SIGTERM, signal.SIGINT])
    assert signal.getsignal(signal.SIGTERM) is before
    assert (sys.meta_path, os.listdir("/dev/fd")) == (hooks, descriptors)
    assert signal.set_wakeup_fd(-1) == -1
    assert sys.unraisablehook.__module__ != "ppose.interrupts"


def test_in_another_thread_a_command_leaves_signals_alone(calls, monkeypatch):
    done = []
    monkeypatch.setattr(convert, "main", lambda *_: done.append(signal.getsignal(signal.SIGINT)))
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run_command, args=("convert", ["a", "b"]))
    thread.start()
    thread.join()
    assert done == [before]


@pytest.mark.parametrize("within", [Interrupts, held, keeping_handlers, lambda: StopOnSignal(None)])
def test_what_nohup_ignores_stays_ignored(within, calls):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with within():
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_forked_process_does_not_clean_what_is_its_parents():
    calls = []
    with cleaned(lambda: calls.append(1)):
        child = os.fork()
    if child == 0:
        os._exit(len(calls))
    assert (os.waitpid(child, 0)[1], calls) == (0, [1])


_PROGRAM = """
import os, signal, threading
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
import ppose
thread = threading.Thread(target=__import__, args=("paddle",))
thread.start()
thread.join()
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_paddle_takes_no_signal_from_a_program_that_uses_ppose():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
