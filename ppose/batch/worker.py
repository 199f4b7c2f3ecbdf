"""Workers: find the poses in a chunk's images and write its part. They load the models once."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ppose.batch.chunks import Chunk, Kind
from ppose.batch.digests import digest_models
from ppose.batch.parts import Counts, Row, write_part
from ppose.batch.place import explain, open_input, open_place
from ppose.batch.reading import Item, Scene, read_items
from ppose.commandline import find_lack
from ppose.errors import DataError, PposeError
from ppose.inference.command import open_detector
from ppose.inference.predictor import Predictor

_READERS = 4  # threads that read and decode, and images ahead
_STAGES = ("load", "detect", "write")  # in addition to the predictor's


@dataclass(frozen=True)
class Settings:
    """The options of a job, in plain values, for workers on any machine.

    ``predictor`` holds arguments of `Predictor.from_dir`, ``detector`` of `open_detector` or None.
    """

    input: str
    output: str
    image_column: str
    boxes_column: str | None
    box_file: str | None
    classes: Sequence[int | str] | None
    threshold: float
    images_per_part: int
    predictor: dict[str, Any]
    detector: dict[str, Any] | None

    def digest_models(self) -> str:
        """Return a digest of the models' files. Raises as `read_export` does."""
        detector_dir = None if self.detector is None else self.detector["model_dir"]
        return digest_models(self.predictor["model_dir"], detector_dir)


@dataclass(frozen=True)
class Task:
    """The work for chunks.

    ``models`` is the settings' `digest_models` on the machine that started the job, ``job`` the digest of
    all that determines the rows.
    """

    settings: Settings
    kind: Kind
    models: str
    job: str


@dataclass(frozen=True)
class Outcome:
    """The result of a chunk: the counts of its part, or the failure, temporary or final."""

    number: int
    counts: Counts = field(default_factory=Counts)
    error: str | None = None  # of the first unreadable image
    failure: str | None = None
    is_final: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the outcome as JSON, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Outcome":
        """Return the outcome from the text of `to_json`."""
        values = json.loads(text)
        return cls(**{**values, "counts": Counts(**values["counts"])})


class Stopped(Exception):
    """The job has ended, and no longer needs the part."""


class Worker:
    """Makes one part after the other; opens its models for the first.

    It calls ``is_stopped`` before each image.
    """

    def __init__(self, task: Task, is_stopped: Callable[[], bool] = lambda: False) -> None:
        self._task, self._is_stopped = task, is_stopped
        self._predictor: Predictor | None = None
        self._seconds = dict.fromkeys(_STAGES, 0.0)

    def __call__(self, chunk: Chunk) -> Outcome:
        """Make the part of a chunk; failures are in the outcome, only Stopped is raised."""
        try:
            return self._make(chunk)
        except Stopped:
            raise
        except PposeError as error:
            return Outcome(chunk.number, failure=str(error), is_final=True)
        except OSError as error:
            return Outcome(chunk.number, failure=explain(error))
        except Exception as error:  # any other package's: the other chunks still get their parts
            lack = find_lack(error) if self._predictor is None else None  # runtimes may crash if tried again
            failure = lack or f"{type(error).__name__}: {explain(error)}"
            return Outcome(chunk.number, failure=failure, is_final=lack is not None)

    def _make(self, chunk: Chunk) -> Outcome:
        predictor = self._predictor or self._open()
        self._seconds = dict.fromkeys(_STAGES, 0.0)
        predictor.reset_times()
        rows: dict[int, Row] = {}
        for (_, _, row), poses in predictor.iter_poses(self._read(chunk, rows)):
            rows[row.index] = row.with_people(poses)
        ordered = [rows[index] for index in sorted(rows)]
        with self._timing("write"):
            names = predictor.keypoint_set.names
            counts = write_part(self._output, chunk.number, ordered, job=self._task.job, keypoints=names)
        seconds = {**self._seconds, **predictor.seconds}
        error = next((row.error for row in ordered if row.error is not None), None)
        return Outcome(chunk.number, counts, error=error, seconds=seconds)

    def _open(self) -> Predictor:
        settings = self._task.settings
        try:
            self._input, self._output = open_input(settings.input), open_place(settings.output)
        except DataError as error:  # the store may be reachable again for the next chunk
            raise OSError(str(error)) from None
        if not self._input.exists():
            raise DataError(f"{self._input} does not exist on every machine of the job")
        if settings.digest_models() != self._task.models:
            raise DataError("the models' files differ between this machine and the one that started the job")
        predictor = Predictor.from_dir(**settings.predictor)
        self._find_people = None if settings.detector is None else open_detector(**settings.detector)
        self._predictor = predictor
        return predictor

    def _read(
        self, chunk: Chunk, rows: dict[int, Row]
    ) -> Iterator[tuple[np.ndarray, np.ndarray | None, Row]]:
        """Yield scenes for the predictor; put unreadable images into ``rows`` directly."""
        settings, kind = self._task.settings, self._task.kind
        items = read_items(self._input, kind, chunk, settings.image_column, settings.boxes_column)
        file = chunk.file or None
        for item, loaded in self._load(items):
            if isinstance(loaded, str):
                rows[item.index] = Row(item.name, file, item.index, error=loaded)
                continue
            image, boxes = loaded
            if self._find_people is not None:
                with self._timing("detect"):
                    boxes = self._find_people(image)
            height, width = image.shape[:2]
            yield image, boxes, Row(item.name, file, item.index, width, height)

    def _load(self, items: Iterator[Item]) -> Iterator[tuple[Item, Scene | str]]:
        """Yield each item with its image and boxes, or with its error; loads a few ahead."""
        waiting: deque[tuple[Item, Future[tuple[Scene | str, float]]]] = deque()
        pool = ThreadPoolExecutor(_READERS)
        try:
            while True:
                while len(waiting) < _READERS and (item := self._next(items)) is not None:
                    waiting.append((item, pool.submit(_load, item)))
                if not waiting:
                    return
                item, future = waiting.popleft()
                loaded, seconds = future.result()
                self._seconds["load"] += seconds
                yield item, loaded
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _next(self, items: Iterator[Item]) -> Item | None:
        if self._is_stopped():
            raise Stopped
        with self._timing("load"):
            return next(items, None)

    @contextmanager
    def _timing(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds[stage] += time.perf_counter() - start


def _load(item: Item) -> tuple[Scene | str, float]:
    """Return an item's image and boxes, or its error, and the processor time; OSError."""
    start = time.thread_time()
    try:
        loaded: Scene | str = item.load()
    except DataError as error:
        loaded = str(error)
    return loaded, time.thread_time() - start
