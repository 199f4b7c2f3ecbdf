"""Compares predictors: latency, throughput, memory, and the time of each part.

Every contender has a process of its own, so that memory is its own and no library disturbs another; the
processes take turns, so that other load on the machine affects all alike.
"""

import itertools
import multiprocessing
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from ppose.errors import DeviceError, PposeError
from ppose.inference.predictor import Predictor
from ppose.inference.runtimes import Precision, RuntimeName
from ppose.interrupts import cleaned, held, without_ctrl_c
from ppose.processor import peak_memory
from ppose.workspace.plugins import load_plugin, loaded_plugins

PARTS = ("preprocess", "network", "postprocess")

_PAUSE = 0.3  # seconds; OpenMP keeps cores busy for 0.2 after its work, which would slow the next contender
_WARM_UP = 3
_PATIENCE = 5.0  # seconds for a process to end by itself

# An image (H, W, 3) and the boxes of people in it (N, 4), xyxy.
Scene = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Contender:
    """Arguments of `Predictor.from_dir`; ``options`` are those of the runtime."""

    model_dir: Path
    runtime: RuntimeName
    precision: Precision = "fp32"
    cpu_threads: int | None = None
    batch_size: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """Milliseconds a batch (median, 90th percentile), the medians of its parts, and peak memory in MB."""

    runtime: str
    p50: float
    p90: float
    parts: dict[str, float]
    people_per_second: float
    peak_memory: float


def measure(
    contenders: Sequence[Contender], scenes: Sequence[Scene], *, rounds: int, batches: int
) -> list[Result | PposeError]:
    """Results in the order of the contenders; for one that cannot run, its error.

    In each of ``rounds`` the contenders take turns, in an order that alternates, and run ``batches`` batches
    of the scenes' people, which repeat when they are used up. ``people_per_second`` is that of the median
    batch. Images are in memory: reading and decoding files is not measured. Peak memory is that of the whole
    process, with Python and libraries.
    """
    workers: list[_Worker] = []
    with ExitStack() as running:
        for contender in contenders:  # one after another: opening takes all cores
            with held():
                worker = _Worker(contender, scenes)
                running.enter_context(cleaned(worker.kill))
            running.callback(worker.stop)
            worker.open()
            workers.append(worker)
        able = [worker for worker in workers if worker.error is None]
        for i in range(rounds):
            for worker in reversed(able) if i % 2 else able:  # each slows the one after it
                time.sleep(_PAUSE)
                worker.run(batches)
        return [worker.finish() if worker.error is None else worker.error for worker in workers]


def make_scenes(people: int) -> list[Scene]:
    """An image of noise, 640x480, with boxes of people at random places."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (480, 640, 3), np.uint8)
    sizes = rng.uniform((60, 120), (200, 400), (people, 2))
    corners = rng.uniform((0, 0), (640, 480) - sizes)
    return [(image, np.concatenate([corners, corners + sizes], axis=1))]


def split_scenes(scenes: Sequence[Scene], batch_size: int) -> Iterator[list[Scene]]:
    """Yield lists of scenes with batch_size people, of one image or several, endlessly."""
    singles = [(image, box[None]) for image, boxes in scenes for box in boxes]
    endless = itertools.cycle(singles)
    while True:
        batch: list[Scene] = []
        for image, box in itertools.islice(endless, batch_size):
            if batch and batch[-1][0] is image:
                batch[-1] = (image, np.concatenate([batch[-1][1], box]))
            else:
                batch.append((image, box))
        yield batch


class _Worker:
    """A contender's process behind a pipe; ``error`` says why it cannot run."""

    def __init__(self, contender: Contender, scenes: Sequence[Scene]) -> None:
        context = multiprocessing.get_context("spawn")
        self._contender = contender
        self._pipe, other = context.Pipe()
        arguments = (other, contender, scenes, loaded_plugins)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        resource_tracker.ensure_running()  # if started later, it would let Ctrl-C through again
        with without_ctrl_c():
            self._process.start()
        other.close()
        self.error: PposeError | None = None
        self._runtime = ""
        self._seconds: list[np.ndarray] = []

    def open(self) -> None:
        """Wait until it can run."""
        opened = self._receive()
        if isinstance(opened, PposeError):
            self.error = opened
        else:
            self._runtime = opened

    def run(self, batches: int) -> None:
        """Measure this many batches."""
        self._pipe.send(batches)
        self._seconds.append(self._receive())

    def finish(self) -> Result:
        """The result of all batches."""
        self._pipe.send(None)
        peak = self._receive()
        seconds = np.concatenate(self._seconds)
        p50, p90 = (float(np.percentile(seconds[:, 0], q)) * 1e3 for q in (50, 90))
        parts = dict(zip(PARTS, (np.median(seconds[:, 1:], axis=0) * 1e3).tolist(), strict=True))
        return Result(self._runtime, p50, p90, parts, self._contender.batch_size / p50 * 1e3, peak)

    def stop(self) -> None:
        """Let the process end."""
        self._pipe.close()
        self._process.join(_PATIENCE)

    def kill(self) -> None:
        """End the process; not by SIGTERM, which Paddle answers with a report."""
        self._process.kill()

    def _receive(self) -> Any:
        try:
            return self._pipe.recv()
        except EOFError:
            name = f"{self._contender.runtime} at batch size {self._contender.batch_size}"
            raise DeviceError(
                f"the process that measures {name} ended; was it killed for its memory?"
            ) from None


def _serve(pipe: Connection, contender: Contender, scenes: Sequence[Scene], plugins: Sequence[str]) -> None:
    warnings.filterwarnings("ignore", module="paddle")  # as every command does
    try:
        for name in plugins:
            load_plugin(name)
        predictor = Predictor.from_dir(
            contender.model_dir,
            runtime=contender.runtime,
            precision=contender.precision,
            cpu_threads=contender.cpu_threads,
            batch_size=contender.batch_size,
            **contender.options,
        )
        batches = split_scenes(scenes, contender.batch_size)
        run_batches(predictor, batches, _WARM_UP)
    except PposeError as error:
        pipe.send(error)
        return
    pipe.send(predictor.runtime_name)
    for count in _receive_all(pipe):
        if count is None:
            pipe.send(peak_memory())
        else:
            run_batches(predictor, batches, 1)
            pipe.send(run_batches(predictor, batches, count))


def _receive_all(pipe: Connection) -> Iterator[Any]:
    """Yield messages until the other end closes."""
    with suppress(EOFError):
        while True:
            yield pipe.recv()


def run_batches(predictor: Predictor, batches: Iterator[list[Scene]], count: int) -> np.ndarray:
    """Seconds (count, 1 + parts) of each batch in total, and of each part."""
    rows = []
    for batch in itertools.islice(batches, count):
        images, boxes = zip(*batch, strict=True)
        predictor.reset_times()
        start = time.perf_counter()
        predictor.predict_images(images, boxes)
        rows.append([time.perf_counter() - start, *(predictor.seconds[part] for part in PARTS)])
    return np.array(rows)
