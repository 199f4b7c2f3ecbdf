"""Runs the project's scripts as a user would, but for the imports, which are made once.

`WarmScripts` starts this file as a process that has imported what the scripts do, and forks for each.
"""

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_MODULES = (
    "cv2", "pycocotools.cocoeval", "matplotlib.pyplot", "visualdl", "ppose.engine.train",
    "ppose.engine.calibration", "ppose.export.post_training", "ppose.export.evaluate", "ppose.data.synthetic",
    "ppose.inference.pose_files",
)  # fmt: skip


class WarmScripts:
    """One script after the other, each in a process of its own."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, arguments: list[str], timeout: float, cwd: str | Path = ROOT
    ) -> subprocess.CompletedProcess:
        """The result of a script, ``arguments[0]``, whose path is from the folder ``cwd``."""
        with tempfile.TemporaryDirectory() as folder:
            request = {"arguments": arguments, "environment": dict(os.environ), "folder": folder}
            request |= {"timeout": timeout, "cwd": str(cwd)}
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
            code = json.loads(self._server.stdout.readline())
            if code is None:
                raise subprocess.TimeoutExpired(arguments, timeout)
            output, errors = (Path(folder, name).read_text() for name in ("output", "errors"))
        return subprocess.CompletedProcess(arguments, code, output, errors)

    def close(self) -> None:
        """Ends the process."""
        self._server.stdin.close()
        self._server.wait()


def _serve() -> dict:
    """Answers requests for ever; in a child, returns its own."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            return request
        print(json.dumps(_wait(child, request["timeout"])), flush=True)
    sys.exit()


def _wait(child: int, timeout: float) -> int | None:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _become(request: dict) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "output"), (2, "errors")):
        os.dup2(os.open(Path(request["folder"], name), os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    sys.argv = request["arguments"]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    sys.path.insert(1, str(ROOT))
    import ppose  # noqa: F401  # sets what Paddle's libraries read before they are loaded

    for module in _MODULES:
        importlib.import_module(module)
    _become(_serve())
