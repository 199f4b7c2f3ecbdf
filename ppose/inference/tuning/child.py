"""The child of `RuntimeProcess`: opens a runtime with several settings, and runs them on request.

Requests and answers are lines of JSON, on stdin and stdout.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ppose.errors import PposeError
from ppose.inference.model_folder import ModelFolder
from ppose.inference.paddle_pose import read_export
from ppose.inference.predictor import Predictor
from ppose.inference.runtimes import Runtime, open_runtime
from ppose.workspace.plugins import load_plugin

_WARM_UP = 2
_LEAST = 2  # fewest calls in a turn with one stream


class _Opened:
    """A runtime with settings, and noise as its input."""

    def __init__(self, folder: ModelFolder, batch: int, options: dict[str, Any]) -> None:
        self.folder, self.batch = folder, batch
        self.runtime: Runtime = open_runtime(folder, batches=[batch], **options)
        self._inputs = _make_noise(folder, batch)
        self._pool = ThreadPoolExecutor(self.runtime.callers)
        for _ in range(_WARM_UP):
            self._call_all(0.0)

    def measure(self, seconds: float) -> float:
        """Return the seconds per person, measured for about ``seconds``."""
        self._call_all(0.0)
        spent = self._call_all(seconds)
        if len(spent) == 1:
            return statistics.median(spent[0]) / self.batch
        # The rates of parallel streams add up.
        return 1 / sum(self.batch * len(times) / sum(times) for times in spent)

    def stop(self) -> None:
        """End its threads."""
        self._pool.shutdown()

    def _call_all(self, seconds: float) -> list[list[float]]:
        """The times of calls, by caller."""
        return list(self._pool.map(partial(self._call, seconds), range(self.runtime.callers)))

    def _call(self, seconds: float, _: int) -> list[float]:
        times: list[float] = []
        least = 1 if self.runtime.callers > 1 or not seconds else _LEAST
        while len(times) < least or sum(times) < seconds:
            start = time.perf_counter()
            self.runtime(*self._inputs)
            times.append(time.perf_counter() - start)
        return times


def _make_noise(folder: ModelFolder, batch: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    image, *warps = folder.spec.nobody()
    shape = (batch, *image.shape[1:])
    is_float = image.dtype == np.float32
    noise = rng.standard_normal(shape, np.float32) if is_float else rng.integers(0, 256, shape, np.uint8)
    return [noise, *(np.tile(np.eye(2, 3, dtype=np.float32), (batch, 1, 1)) for _ in warps)]


class _Server:
    def __init__(self) -> None:
        self._folders: dict[str, ModelFolder] = {}
        self._opened: dict[int, _Opened] = {}

    def open(self, number: int, path: str, batch: int, options: dict[str, Any]) -> None:
        """Open and warm up; replaces settings of the same number. ``options`` are those of `open_runtime`."""
        if number in self._opened:
            self.close(number)
        if path not in self._folders:
            self._folders[path] = read_export(path)
        self._opened[number] = _Opened(self._folders[path], batch, options)

    def run(self, number: int, seconds: float) -> float:
        """Return the seconds per person."""
        return self._opened[number].measure(seconds)

    def close(self, number: int) -> None:
        """Close the settings of this number."""
        self._opened.pop(number).stop()

    def find(self, number: int, scenes: Sequence[tuple[str, Any]], file: str) -> None:
        """Write the keypoints (N, K, 2) and scores (N, K) of images' people to a file."""
        opened = self._opened[number]
        predictor = Predictor(opened.folder.spec, opened.runtime, batch_size=opened.batch)
        images, boxes = zip(*scenes, strict=True)
        found = [pose for poses in predictor.predict_images(map(Path, images), boxes) for pose in poses]
        keypoints, scores = ([getattr(pose, name) for pose in found] for name in ("keypoints", "scores"))
        np.savez(file, keypoints=np.array(keypoints), scores=np.array(scores))


def serve() -> None:
    """Answer requests until stdin ends. The arguments are the import paths, already in use, and plugins."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries may print to stdout
    for name in json.loads(sys.argv[2]):
        load_plugin(name)
    server = _Server()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"value": getattr(server, request.pop("do"))(**request)}
        except PposeError as error:
            answer = {"error": str(error)}
        except Exception as error:  # of a runtime's own type, such as out of memory
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
        print(json.dumps(answer), file=answers, flush=True)
