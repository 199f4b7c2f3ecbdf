"""Requests that come at about the same time share the predictor's batches."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from ppose.errors import DataError
from ppose.inference.detectors import PersonDetector
from ppose.inference.poses import Poses
from ppose.inference.predictor import Predictor
from ppose.processor import own_cores
from ppose.transforms import decode_annotated


@dataclass(frozen=True, kw_only=True)
class Job:
    """An image file's content and bboxes_xyxy (N, 4) or None; ``pixels`` is how many it has.

    ``found`` will hold the image (H, W, 3) uint8, RGB, turned as EXIF says, and its people's poses; or
    DataError for what cannot be decoded.
    """

    data: bytes
    bboxes_xyxy: np.ndarray | None
    pixels: int
    found: Future[tuple[np.ndarray, Poses]] = field(default_factory=Future)

    @property
    def people(self) -> int:
        """How many places in a batch it takes, as far as one can know before a detector has seen it."""
        return 1 if self.bboxes_xyxy is None else len(self.bboxes_xyxy)


def batch_sizes(most: int) -> list[int]:
    """How many people there are in batches of up to so many: the powers of two, and the most."""
    return [*(1 << power for power in range(most.bit_length()) if 1 << power < most), most]


class Batcher:
    """Runs jobs in a thread of its own, those in one batch that wait when the batch before is done.

    A batch waits for as many requests as there were at once since the one before began, ``delay`` seconds at
    most: clients that were answered together come again together, and one alone waits for nobody. A batch is
    full at the predictor's ``batch_size`` people, or at ``pixels``, which bounds the memory of decoded
    images. ``find_people`` finds those of images without boxes; None takes such an image as one person.
    ``on_batch`` is told the number of jobs of each batch.
    """

    def __init__(
        self,
        predictor: Predictor,
        find_people: PersonDetector | None,
        *,
        delay: float,
        pixels: int,
        on_batch: Callable[[int], None],
    ) -> None:
        self._predictor, self._find_people = predictor, find_people
        self._delay, self._pixels, self._on_batch = delay, pixels, on_batch
        self._changed = threading.Condition()  # of what follows
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._reading = self._most = 0  # requests; of these, and jobs, the most at once since a batch began
        self._is_closed = False
        # Of a batch, on all cores: OpenCV decodes an image on one, in a third of a small network's time.
        self._decoders = ThreadPoolExecutor(own_cores(), "ppose images")
        self._thread = threading.Thread(target=self._work, name="ppose batches", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether jobs are run."""
        return self._thread.is_alive()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within it a request is read, whose job a batch may wait for."""
        with self._changed:
            self._reading += 1
            running = sum(not job.found.done() for job in self._running)
            self._most = max(self._most, self._reading + len(self._waiting) + running)
        try:
            yield
        finally:
            with self._changed:
                self._reading -= 1

    def submit(self, job: Job) -> None:
        """Have a job run, see `Job.found`; one that is cancelled before its turn never is."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def close(self) -> None:
        """Run what waits, and end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        self._decoders.shutdown()

    def _work(self) -> None:
        while self._run_next():  # whose images go before the next is waited for
            pass

    def _run_next(self) -> bool:
        """Run a batch; whether there was one."""
        gathered = self._gather()
        jobs = [job for job in gathered if job.found.set_running_or_notify_cancel()]
        if jobs:
            self._on_batch(len(jobs))
            self._run(jobs)
        self._running = []
        return bool(gathered)

    def _gather(self) -> list[Job]:
        """The jobs of a batch; none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            self._changed.wait_for(self._is_enough, self._delay)
            self._most = len(self._waiting)
            self._running = [self._waiting.popleft() for _ in range(self._count())]
            return self._running

    def _is_enough(self) -> bool:
        people = sum(job.people for job in self._waiting)
        return self._is_closed or len(self._waiting) >= self._most or people >= self._predictor.batch_size

    def _count(self) -> int:
        """How many of the waiting jobs are a batch: from the first on, with a power of two people.

        OpenVINO prepares for each size anew: people in batches of any size took it 29 ms of processor time
        each, in powers of two 18, always eight at once 11 (tinypose_128x96). `batch_sizes` says which sizes
        there are, so that a runtime can keep a form for each.
        """
        size, sums, pixels = self._predictor.batch_size, [0], 0  # people of 0, 1, 2, ... jobs
        for job in self._waiting:
            pixels += job.pixels
            if sums[-1] >= size or (len(sums) > 1 and pixels > self._pixels):
                break
            sums.append(sums[-1] + job.people)
        people = sums[-1]
        most = people if people >= size else 1 << people.bit_length() >> 1
        return sum(each <= most for each in sums[1:]) or len(sums[1:2])

    def _run(self, jobs: Sequence[Job]) -> None:
        try:
            for (image, _, job), poses in self._predictor.iter_poses(self._decode(jobs)):
                job.found.set_result((image, poses))
        except Exception as error:  # of one of them: the others are to get their poses
            rest = [job for job in jobs if not job.found.done()]
            for job in rest:
                if len(jobs) == 1:
                    job.found.set_exception(error)
                else:
                    self._run([job])

    def _decode(self, jobs: Sequence[Job]) -> Iterator[tuple[np.ndarray, np.ndarray | None, Job]]:
        read = map if len(jobs) == 1 else self._decoders.map
        for job, image in zip(jobs, read(_read_image, jobs), strict=True):
            if isinstance(image, DataError):
                job.found.set_exception(image)
                continue
            boxes = job.bboxes_xyxy
            if boxes is None and self._find_people is not None:
                boxes = self._find_people(image)
            yield image, boxes, job


def _read_image(job: Job) -> np.ndarray | DataError:
    """The image, or why it is none."""
    try:
        return decode_annotated(job.data, "the image")
    except DataError as error:
        return error
