"""Requests that come at about the same time share the predictor's batches."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
    """Runs jobs in a thread of its own, those in one batch that come within ``delay`` seconds of the first.

    While a batch runs the next ones gather, so under load nobody waits for the delay. A batch is full at the
    predictor's ``batch_size`` people, or at ``pixels``, which bounds the memory of decoded images.
    ``find_people`` finds those of images without boxes; None takes such an image as one person. ``on_batch``
    is told the number of jobs of each batch.
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
        self._waiting: queue.Queue[Job | None] = queue.Queue()  # None ends
        self._held: deque[Job] = deque()  # gathered, but left for the next batch
        # Of a batch, on all cores: OpenCV decodes an image on one, in a third of a small network's time.
        self._decoders = ThreadPoolExecutor(own_cores(), "ppose images")
        self._thread = threading.Thread(target=self._work, name="ppose batches", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether jobs are run."""
        return self._thread.is_alive()

    def submit(self, job: Job) -> None:
        """Have a job run, see `Job.found`; one that is cancelled before its turn never is."""
        self._waiting.put(job)

    def close(self) -> None:
        """Run what waits, and end."""
        self._waiting.put(None)
        self._thread.join()
        self._decoders.shutdown()

    def _work(self) -> None:
        while gathered := self._gather():
            jobs = [job for job in gathered if job.found.set_running_or_notify_cancel()]
            if jobs:
                self._on_batch(len(jobs))
                self._run(jobs)

    def _gather(self) -> list[Job]:
        """The jobs of a batch; none at the end."""
        first = self._held.popleft() if self._held else self._waiting.get()
        if first is None:
            return []
        jobs, people, pixels = [first], first.people, first.pixels
        end = time.monotonic() + self._delay
        while people < self._predictor.batch_size and (job := self._next(end)) is not None:
            people, pixels = people + job.people, pixels + job.pixels
            if pixels > self._pixels:
                self._held.appendleft(job)
                break
            jobs.append(job)
        return self._trim(jobs)

    def _next(self, end: float) -> Job | None:
        """The job whose turn it is, None where there is none by then."""
        if self._held:
            return self._held.popleft()
        try:
            job = self._waiting.get(timeout=max(end - time.monotonic(), 1e-6))
        except queue.Empty:
            return None
        if job is None:  # the end, after this batch
            self._waiting.put(None)
        return job

    def _trim(self, jobs: list[Job]) -> list[Job]:
        """So many of the jobs, from the first on, that their people are a power of two; the others wait.

        OpenVINO prepares for each size anew: people in batches of any size took it 29 ms of processor time
        each, in powers of two 18, always eight at once 11 (tinypose_128x96). `batch_sizes` says which sizes
        there are, so that a runtime can keep a form for each.
        """
        people = sum(job.people for job in jobs)
        most = people if people >= self._predictor.batch_size else 1 << people.bit_length() >> 1
        kept = sum(np.cumsum([job.people for job in jobs]) <= most) or 1
        self._held.extendleft(reversed(jobs[kept:]))
        return jobs[:kept]

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
