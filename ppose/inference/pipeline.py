"""Runs images through reading, the network and post-processing: in parallel, with results in order.

    items -> read (decode, detect), cut out -> batches through the network -> arrange -> finish (draw, write)

All but "items" and "arrange" runs in one thread more than the runtime's callers; NumPy, OpenCV and the
runtimes release the GIL. With one caller everything runs in the calling thread.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from ppose.errors import DataError
from ppose.inference.poses import Pose, Poses
from ppose.keypoints import KeypointSet

Item = TypeVar("Item")
Arranged = TypeVar("Arranged")
Result = TypeVar("Result")

# The most pixels of images that are read and not yet finished; a single image may be larger.
_PIXELS_A_CALLER = 50_000_000
_GUESS = 12_000_000  # pixels of an image, before the first is read
_WAITING = 1  # threads more than callers, since one may wait, such as for a disk
_BATCHES_A_CALLER = 3  # one in the network, one ready for it, and about one before and after


class PeopleFinder(Protocol):
    """The part of a `Predictor` that a pipeline needs."""

    keypoint_set: KeypointSet
    batch_size: int
    callers: int

    def cut_out(self, image: Any, bboxes_xyxy: Any) -> tuple[list[dict[str, Any]], tuple[int, int]]:
        """A sample for each person, and the image's width and height."""
        ...

    def find_poses(self, samples: Sequence[dict[str, Any]]) -> list[Pose]:
        """The pose of each sample."""
        ...


@dataclass(frozen=True, eq=False)
class Scene(Generic[Item]):
    """An item, what was read (an image, bboxes_xyxy (N, 4) or None, other known data), and its people."""

    item: Item
    image: Any
    bboxes_xyxy: Any
    known: Any
    poses: Poses


@dataclass(frozen=True, kw_only=True)
class Steps(Generic[Item, Arranged, Result]):
    """The functions for each item; several threads call them at once, except ``arrange`` and ``skip``.

    The calling thread calls these two in the order of the items. ``skip`` gets a DataError of ``read``, whose
    item is then skipped; without ``skip``, or if it raises, the pipeline ends with the error.
    """

    read: Callable[[Item], tuple[Any, Any, Any]]  # image, bboxes_xyxy, other known data
    arrange: Callable[[Scene[Item]], Arranged]
    finish: Callable[[Arranged], Result]
    skip: Callable[[DataError], None] | None = None


def run_pipeline(
    finder: PeopleFinder,
    items: Iterable[Item],
    steps: Steps[Item, Arranged, Result],
    *,
    images_at_once: int | None = None,
) -> Generator[Result, None, None]:
    """Yield the result of ``steps.finish`` for each item, in order, as soon as it is done.

    An item's error is raised after all items before it. At most ``images_at_once`` images, by default enough
    to keep all callers busy, are in progress, and fewer if they are large.
    """
    batches = 1 if finder.callers == 1 else finder.callers * _BATCHES_A_CALLER
    at_once = images_at_once or finder.batch_size * batches
    is_alone = finder.callers == 1 or at_once == 1
    executor = _Inline() if is_alone else ThreadPoolExecutor(finder.callers + _WAITING, "ppose")
    try:
        yield from _Flow(finder, iter(items), steps, executor, at_once)
    finally:
        executor.shutdown(cancel_futures=True)


@dataclass(eq=False)
class _Read(Generic[Item]):
    """An item whose people are cropped, and the place for their poses."""

    item: Item
    image: Any
    bboxes_xyxy: Any
    known: Any
    samples: list[dict[str, Any]]
    size: tuple[int, int]
    found: list[Any] = field(default_factory=list)
    batches: list[Future[None]] = field(default_factory=list)  # the batches of its people

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]


class _Flow(Generic[Item, Arranged, Result]):
    """The state of one run of a pipeline."""

    def __init__(
        self,
        finder: PeopleFinder,
        items: Iterator[Item],
        steps: Steps[Item, Arranged, Result],
        executor: Executor,
        at_once: int,
    ) -> None:
        self._finder, self._items, self._steps, self._executor = finder, items, steps, executor
        self._at_once, self._most_pixels = at_once, _PIXELS_A_CALLER * finder.callers
        self._reading: deque[Future[_Read[Item] | DataError]] = deque()
        self._gathered: list[tuple[_Read[Item], int]] = []  # people for the next batch
        self._running: list[Future[None]] = []  # batches
        self._in_network: deque[_Read[Item]] = deque()
        self._finishing: deque[tuple[int, Future[Result]]] = deque()  # with the image's pixels
        self._pixels, self._largest = 0, 0  # read and not yet finished; of the largest image
        self._is_over = False
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[Result]:
        while not self._is_over or self._reading or self._in_network or self._finishing:
            has_moved = self._take_read() | self._take_found()
            while self._finishing and self._finishing[0][1].done():
                pixels, done = self._finishing.popleft()
                self._pixels -= pixels
                yield done.result()
            has_moved |= self._start_one()
            if not has_moved and not self._run_rest():
                self._wait()
        if self._error is not None:
            raise self._error

    def _start_one(self) -> bool:
        """Begin to read the next item, if there is room for it."""
        if self._is_over or not self._has_room():
            return False
        try:
            item = next(self._items)
        except StopIteration:
            self._is_over = True
        except Exception as error:
            self._is_over, self._error = True, error
        else:
            self._reading.append(self._executor.submit(self._read, item))
        return True

    def _has_room(self) -> bool:
        on_their_way = len(self._reading) + len(self._in_network) + len(self._finishing)
        expected = self._pixels + (1 + len(self._reading)) * (self._largest or _GUESS)
        return on_their_way == 0 or (on_their_way < self._at_once and expected <= self._most_pixels)

    def _read(self, item: Item) -> _Read[Item] | DataError:
        try:
            image, boxes, known = self._steps.read(item)
        except DataError as error:
            return error
        return _Read(item, image, boxes, known, *self._finder.cut_out(image, boxes))

    def _take_read(self) -> bool:
        """Put the people of the next item into batches, once it is read."""
        if not self._reading or not self._reading[0].done():
            return False
        self._gather(self._reading.popleft())
        while len(self._gathered) >= self._finder.batch_size:
            self._run_batch()
        return True

    def _gather(self, done: Future[_Read[Item] | DataError]) -> None:
        try:
            read = done.result()
            if isinstance(read, DataError):
                if self._steps.skip is None:
                    raise read
                self._steps.skip(read)
                return
        except BaseException as error:
            self._end(error)
            return
        self._pixels += read.pixels
        self._largest = max(self._largest, read.pixels)
        self._in_network.append(read)
        read.found = [None] * len(read.samples)
        self._gathered += [(read, index) for index in range(len(read.samples))]

    def _run_rest(self) -> bool:
        """Run a partial batch if no item can be read now to fill it."""
        self._running = [batch for batch in self._running if not batch.done()]
        is_last = not self._reading and (self._is_over or not (self._running or self._finishing))
        if not self._gathered or not is_last:
            return False
        self._run_batch()
        return True

    def _run_batch(self) -> None:
        size = self._finder.batch_size
        batch, self._gathered = self._gathered[:size], self._gathered[size:]
        running = self._executor.submit(self._find, batch)
        self._running.append(running)
        for read in dict.fromkeys(read for read, _ in batch):
            read.batches.append(running)

    def _find(self, batch: Sequence[tuple[_Read[Item], int]]) -> None:
        poses = self._finder.find_poses([read.samples[index] for read, index in batch])
        for (read, index), pose in zip(batch, poses, strict=True):
            read.found[index] = pose

    def _take_found(self) -> bool:
        """Begin to finish the next items whose people are all found."""
        has_moved = False
        while self._in_network and self._is_found(self._in_network[0]):
            self._finish(self._in_network.popleft())
            has_moved = True
        return has_moved

    def _is_found(self, read: _Read[Item]) -> bool:
        is_waiting = bool(self._gathered) and self._gathered[0][0] is read
        return not is_waiting and all(batch.done() for batch in read.batches)

    def _finish(self, read: _Read[Item]) -> None:
        try:
            for batch in read.batches:
                batch.result()
            poses = Poses(self._finder.keypoint_set, read.size, read.found)
            arranged = self._steps.arrange(Scene(read.item, read.image, read.bboxes_xyxy, read.known, poses))
        except Exception as error:
            self._end(error)
            self._in_network.clear()
            self._gathered.clear()
        else:
            self._finishing.append((read.pixels, self._executor.submit(self._steps.finish, arranged)))

    def _end(self, error: BaseException) -> None:
        """Stop reading for this error, which is raised after the items before it."""
        self._is_over, self._error = True, error
        for future in self._reading:
            future.cancel()
        self._reading.clear()

    def _wait(self) -> None:
        """Wait for any of the next futures."""
        self._running = [batch for batch in self._running if not batch.done()]
        heads: list[Future[Any]] = [*self._running]
        heads += [self._reading[0]] if self._reading else []
        heads += [self._finishing[0][1]] if self._finishing else []
        if heads:
            wait(heads, return_when=FIRST_COMPLETED)


class _Inline(Executor):
    """Runs each function at once in the calling thread."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        """A future with the result, or the error."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **options))
        except Exception as error:  # not KeyboardInterrupt, which ends everything
            future.set_exception(error)
        return future
