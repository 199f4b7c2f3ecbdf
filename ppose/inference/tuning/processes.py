"""Runs each runtime in its own process, so that one that aborts, hangs or spins does not disturb others."""

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from ppose.errors import DeviceError
from ppose.files import temporary_folder
from ppose.inference.runtimes.kinds import KINDS
from ppose.inference.tuning.settings import Settings
from ppose.interrupts import cleaned, held, without_ctrl_c
from ppose.workspace.plugins import loaded_plugins

_MAIN = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from ppose.inference.tuning.child import serve
serve()
"""
_OPENING, _RUNNING = 30.0, 10.0  # most seconds to open settings, and for a turn
_TURN = 0.15  # seconds of a turn
_PAUSE = 0.03  # seconds after a turn: some runtimes' threads keep cores busy for a while
_PATIENCE = 5.0  # seconds for a process to end by itself


class RuntimeProcess:
    """A process that answers requests, see `child`; a missing answer raises DeviceError."""

    def __init__(self) -> None:
        # Isolated mode leaves the current folder out of sys.path, unless it is among the given paths.
        arguments = [json.dumps(sys.path), json.dumps(loaded_plugins)]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _MAIN, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._requests = cast(IO[str], self._process.stdin)
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, limit: float, /, **request: Any) -> Any:
        """Send a request, and return its answer within ``limit`` seconds."""
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
            line = self._answers.get(timeout=limit)
        except queue.Empty:
            self.stop()
            raise DeviceError(f"it takes more than {limit:.0f} s") from None
        except OSError:  # the process has ended
            line = None
        if line is None:
            raise DeviceError(f"its process has ended (exit code {self._process.wait()})")
        answer = json.loads(line)
        if "error" in answer:
            raise DeviceError(answer["error"])
        return answer["value"]

    @property
    def is_alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the process."""
        self._process.kill()  # not terminate: Paddle answers that with a report
        self._process.wait(_PATIENCE)

    def _read(self) -> None:
        for line in cast(IO[str], self._process.stdout):
            self._answers.put(line)
        self._answers.put(None)


class Processes:
    """A `Bench` with one process per runtime; a context manager that ends them."""

    def __init__(self) -> None:
        self._processes: dict[str, RuntimeProcess] = {}
        self._opened: dict[Settings, RuntimeProcess] = {}
        self._running = ExitStack()

    def __enter__(self) -> "Processes":
        folder = temporary_folder(tempfile.gettempdir(), "ppose_tune_")
        self._folder = self._running.enter_context(folder)
        self._running.enter_context(cleaned(self._stop))
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _stop(self) -> None:
        for process in self._processes.values():
            process.stop()

    def open(self, settings: Settings) -> None:
        """See `Bench`; starts a new process if the runtime's last one has ended."""
        options: dict[str, Any] = {"runtime": settings.runtime, "precision": settings.precision}
        options |= {"cpu_threads": settings.threads, "streams": settings.streams}
        if "cache_dir" in KINDS[settings.runtime].options:
            options["cache_dir"] = str(self._folder)
        process = self._processes.get(settings.runtime)
        if process is None or not process.is_alive:
            with held(), without_ctrl_c():
                process = self._processes[settings.runtime] = RuntimeProcess()
        self._opened[settings] = process
        try:
            self._ask(
                settings, _OPENING, do="open", path=str(settings.path), batch=settings.batch, options=options
            )
        except DeviceError as error:
            raise DeviceError(f"{settings.describe()}: {error}") from None

    def run(self, settings: Settings) -> float:
        """See `Bench`."""
        seconds = self._ask(settings, _RUNNING, do="run", seconds=_TURN)
        time.sleep(_PAUSE)
        return float(seconds)

    def close(self, settings: Settings) -> None:
        """See `Bench`."""
        self._ask(settings, _RUNNING, do="close")

    def find(
        self, settings: Settings, scenes: Sequence[tuple[Path, Any]], seconds: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return keypoints (N, K, 2) and scores (N, K) of the people in image files with boxes."""
        file = self._folder / "found.npz"
        plain = [(str(image), None if boxes is None else boxes.tolist()) for image, boxes in scenes]
        self._ask(settings, seconds, do="find", scenes=plain, file=str(file))
        with np.load(file) as found:
            return found["keypoints"], found["scores"]

    def _ask(self, settings: Settings, limit: float, /, **request: Any) -> Any:
        number = list(self._opened).index(settings)
        return self._opened[settings].ask(limit, number=number, **request)
