"""What a command's user sees of errors."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppose.commandline import run
from ppose.errors import PposeError
from ppose.export.onnx_graph import _PADDLE2ONNX

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    "ask", [lambda: np.empty((1 << 20, 1 << 20, 1 << 10)), lambda: paddle.empty([1 << 20, 1 << 20, 1 << 10])]
)
def test_too_little_memory_is_one_line(ask, capsys):
    with pytest.raises(SystemExit) as leave:
        run(ask)
    assert leave.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: not enough memory: ")
    assert "alloc" in line
    assert line.endswith("(use smaller batches)")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files (raise the limit with ulimit -n"),
        (RuntimeError("can't start new thread"), "no more threads can be started"),
        (RuntimeError("Resource temporarily unavailable"), "no more threads can be started"),
        (RuntimeError("std::bad_alloc"), "not enough memory"),
        (ImportError("libx.so: failed to map segment from shared object"), "not enough memory"),
        (PposeError("a\x1b[2J\nerror: forged"), "a\\x1b[2J"),
    ],
)
def test_what_the_system_lacks_and_texts_of_files_are_one_error(error, words, capsys):
    def fail():
        raise error

    with pytest.raises(SystemExit) as leave:
        run(fail)
    assert leave.value.code == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[:1]
    assert words in lines[0]


_WAIT = """
import sys, time
from ppose.commandline import run
from ppose.interrupts import Interrupts, cleaned, saves
def main():
    {first}
    print("ready", flush=True)
    {body}
with Interrupts(at_once=True):
    run(main)
"""
_SAYING = "cleaned(lambda: print('cleaned', flush=True))"


def _interrupt(body, *signals, first="pass"):
    """Exit code, output and seconds of a command that gets these signals."""
    with subprocess.Popen(
        [sys.executable, "-c", _WAIT.format(body=body, first=first)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        begin = time.monotonic()
        for number in signals:
            time.sleep(0.3)
            process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    return process.returncode, output + errors, time.monotonic() - begin


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_is_an_interrupt_at_which_things_are_saved(number):
    body = "with saves():\n        try: time.sleep(30)\n        finally: print('saved', flush=True)"
    assert _interrupt(body, number)[:2] == (130, "saved\ninterrupted\n")


def test_where_nothing_is_to_be_saved_no_library_hears_of_it():
    body = f"with {_SAYING}:\n        try: time.sleep(30)\n        finally: print('saved', flush=True)"
    assert _interrupt(body, signal.SIGTERM)[:2] == (130, "cleaned\ninterrupted\n")


def test_paddle_keeps_no_signal_for_itself():
    assert _interrupt("time.sleep(30)", signal.SIGTERM, first="import ppose.engine.device")[0] == 130


def test_an_interrupt_that_becomes_another_error_stays_one():
    body = (
        "with saves():\n"
        "        try: time.sleep(30)\n"
        "        except KeyboardInterrupt: raise ValueError('of a library') from None"
    )
    assert _interrupt(body, signal.SIGINT)[:2] == (130, "interrupted\n")


def test_an_interrupt_ends_compiled_code():
    """Which runs for an hour, without a look at what Python has to say."""
    body = f"import hashlib\n    with {_SAYING}: hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"
    code, output, seconds = _interrupt(body, signal.SIGTERM)
    assert (code, output) == (130, "cleaned\ninterrupted\n")
    assert seconds < 5


def test_the_end_of_the_process_is_not_waited_for():
    body = "import atexit; atexit.register(time.sleep, 20)"
    code, output, seconds = _interrupt(body, signal.SIGTERM)
    assert (code, output) == (130, "interrupted\n")
    assert seconds < 10


def test_a_signal_to_a_forked_process_is_not_its_parents():
    body = (
        "import os, signal\n"
        f"    with {_SAYING}:\n"
        "        child = os.fork() or time.sleep(30)\n"
        "        time.sleep(0.3); os.kill(child, signal.SIGTERM); status = os.waitpid(child, 0)[1]\n"
        "        time.sleep(1.5); print(os.waitstatus_to_exitcode(status), flush=True)"
    )
    assert _interrupt(body)[:2] == (0, "143\ncleaned\n")


def test_the_second_interrupt_ends_at_once():
    body = "with saves():\n        try: time.sleep(30)\n        finally: time.sleep(30)"
    code, _, seconds = _interrupt(body, signal.SIGINT, signal.SIGINT)
    assert code == -signal.SIGINT
    assert seconds < 5


def test_nothing_of_the_current_folder_runs(tmp_path, monkeypatch):
    for name in ("runpy.py", "paddle2onnx.py", "calendar.py"):
        (tmp_path / name).write_text("print('ran')")
    (tmp_path / "tool").write_text("#!/bin/sh\necho ran\n")
    (tmp_path / "tool").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join(["", ".", os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONSAFEPATH", "")

    def start():
        assert shutil.which("tool") is None
        for arguments in (("-m", "calendar", "2000"), ("-c", _PADDLE2ONNX.replace("paddle2onnx.", "json."))):
            done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, input="")
            assert "ran" not in done.stdout

    run(start)
