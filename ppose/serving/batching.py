"""Groups concurrent requests into batches for the predictor."""

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
    """An image file's content, its bboxes_xyxy (N, 4) or None, and its number of pixels.

    ``found`` will hold the image (H, W, 3) uint8, RGB, rotated by its EXIF orientation, and its people's
    poses; or DataError if it cannot be decoded.
    """

    data: bytes
    bboxes_xyxy: np.ndarray | None
    pixels: int
    found: Future[tuple[np.ndarray, Poses]] = field(default_factory=Future)

    @property
    def people(self) -> int:
        """The number of people for a batch: 1 if a detector has yet to find them."""
        return 1 if self.bboxes_xyxy is None else len(self.bboxes_xyxy)


def batch_sizes(most: int) -> list[int]:
    """The batch sizes used up to ``most`` people: the powers of two, and ``most``."""
    return [*(1 << power for power in range(most.bit_length()) if 1 << power < most), most]


class Batcher:
    """Runs jobs in its own thread; the jobs that wait when a batch is done form the next batch.

    A batch waits at most ``delay`` seconds for as many requests as there were at once since the previous
    batch began: clients answered together usually return together, and a single client does not wait. A
    batch is full at the predictor's ``batch_size`` people, or at ``pixels``, which bounds the memory of
    decoded images. ``find_people`` finds the people of images without boxes; None takes such an image as one
    person. ``on_batch`` gets the number of jobs of each batch.
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
        self._changed = threading.Condition()  # guards the following attributes
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        # Requests being read; the most requests and jobs at once since the last batch began.
        self._reading = self._most = 0
        self._is_closed = False
        # A batch's images on all cores: OpenCV decodes one on one core, in a third of a small network's time.
        self._decoders = ThreadPoolExecutor(own_cores(), "ppose images")
        self._thread = threading.Thread(target=self._work, name="ppose batches", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread that runs jobs is alive."""
        return self._thread.is_alive()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within it, the caller reads a request, and a batch may wait for its job."""
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
        """Queue a job; its result comes in `Job.found`. A job cancelled before its turn is skipped."""
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def close(self) -> None:
        """Run the waiting jobs, and end the threads."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        self._decoders.shutdown()

    def _work(self) -> None:
        while self._run_next():  # a function of its own, which frees its images before the next wait
            pass

    def _run_next(self) -> bool:
        """Run a batch; return whether there was one."""
        gathered = self._gather()
        jobs = [job for job in gathered if job.found.set_running_or_notify_cancel()]
        if jobs:
            self._on_batch(len(jobs))
            self._run(jobs)
        self._running = []
        return bool(gathered)

    def _gather(self) -> list[Job]:
        """Wait for the jobs of a batch; none at the end."""
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
        """The number of waiting jobs for the next batch, whose people are a power of two in number.

        OpenVINO prepares anew for each batch size: it took 29 ms of processor time per person in batches of
        any size, 18 in powers of two, 11 in batches of eight (tinypose_128x96). With the sizes of
        `batch_sizes`, a runtime can keep a compiled form for each.
        """
        size, sums, pixels = self._predictor.batch_size, [0], 0  # sums: people of the first 0, 1, 2, ... jobs
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
        except Exception as error:  # of one job: the others still get their poses
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
    """The image, or the error if it cannot be decoded."""
    try:
        return decode_annotated(job.data, "the image")
    except DataError as error:
        return error
