"""Runs the real command on one input after the other, each in its own process with limits.

    python runner.py MODULE ... < lines of JSON, each a list of arguments; > a line of JSON for each

It imports the modules once; then each run is a fork, without a network from the first run without a URL on.
"""

import contextlib
import ctypes
import dataclasses
import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

SECONDS, MEMORY = 20, 6 << 30  # processor time; address space, of which Paddle's libraries take 2 GB
_CLONE_NEWNET = 0x40000000
_ALWAYS = ("ppose.commandline", "ppose.options", "ppose.pixel_limit", "encodings.unicode_escape")


@contextlib.contextmanager
def running(modules: Sequence[str], folder: Path) -> Iterator[Callable[[list[str]], dict]]:
    """Yield a function that runs a command with its arguments in ``folder``, and returns how it ended."""
    with subprocess.Popen(
        [sys.executable, __file__, *modules],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
    ) as runner:

        def run(arguments: list[str]) -> dict:
            runner.stdin.write(json.dumps(arguments) + "\n")
            runner.stdin.flush()
            return json.loads(runner.stdout.readline())

        yield run


def check_end(result: dict, what: str, output: Path) -> None:
    """Fail unless a command succeeded, or ended with a single error line."""
    what = f"{what}: {result}"
    lines = [line for line in result["errors"].splitlines() if "error: " in line]
    assert result["code"] in (0, 1, 2), what
    assert "Traceback" not in result["errors"], what
    assert "\x1b" not in result["errors"], what
    assert len(lines) == (result["code"] != 0), what
    assert result["seconds"] < SECONDS, what
    assert not list(output.rglob("*.part")), what


def main() -> None:
    """Answer every line of the input."""
    os.environ["OPENCV_LOG_LEVEL"] = "SILENT"  # as commands set it before they import OpenCV
    from ppose import cli
    from ppose.weights import download

    download._LIMITS = dataclasses.replace(download._LIMITS, waits=(0, 0))
    for module in (*_ALWAYS, *sys.argv[1:]):
        importlib.import_module(module)
    gc.freeze()  # else garbage collection copies the pages in each child
    answers = os.fdopen(os.dup(1), "w")
    is_apart = False
    for line in sys.stdin:
        arguments = json.loads(line)
        if not is_apart and not any("://" in argument for argument in arguments):
            is_apart = True
            with contextlib.suppress(AttributeError):
                ctypes.CDLL(None).unshare(_CLONE_NEWNET)  # if permitted
        answers.write(json.dumps(_run(cli, arguments)) + "\n")
        answers.flush()


def _run(cli: object, arguments: list[str]) -> dict[str, object]:
    begin = time.monotonic()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            _become(cli, arguments, output.fileno(), errors.fileno())
        _, status, usage = os.wait4(child, 0)
        errors.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(status),
            "errors": errors.read().decode("utf-8", "replace"),
            "seconds": time.monotonic() - begin,
            "megabytes": usage.ru_maxrss / 1024,
        }


def _become(cli: object, arguments: list[str], output: int, errors: int) -> None:
    os.dup2(output, 1)
    os.dup2(errors, 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.argv = ["ppose", *arguments]
    code = 70
    try:
        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
