"""Images that show what a network will see, and AP on a part of a dataset."""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import paddle
from paddle import nn
from tqdm import tqdm

from ppose.data.reader import spread
from ppose.engine.evaluate import make_reader, read_batches, update_metric
from ppose.engine.network_runtime import network_predictor
from ppose.engine.task import Task
from ppose.errors import DataError
from ppose.image_files import list_images, read_boxes_and_sizes
from ppose.inference.pose_spec import PoseSpec
from ppose.transforms import read_annotated, read_image

_logger = logging.getLogger(__name__)


class CalibrationImages:
    """Batches of up to ``count`` of ``people``, from all over, as the network sees them at evaluation.

    ``cut_out(spec, one)`` makes its sample. Each iteration is over batches (N, 3, h, w), with a progress
    bar.
    """

    def __init__(
        self,
        task: Task,
        reader: str,
        people: Sequence[Any],
        cut_out: Callable[..., dict],
        count: int,
        problems: Sequence[str] = (),
    ) -> None:
        self._spec, self._batch_size = task.pose_spec(reader), task.reader(reader).batch_size
        self._people = [people[i] for i in spread(len(people), count)]
        self._cut_out = cut_out
        self._problems = problems

    @classmethod
    def from_folder(
        cls, task: Task, folder: str | Path, count: int, boxes_file: str | Path | None = None
    ) -> "CalibrationImages":
        """The people of a box file in a folder's images, see `read_boxes_and_sizes`, or each image as one.

        Photos are turned as in `ImageFiles`. Images that cannot be read are skipped with a warning; DataError
        where none can.
        """
        files = list_images(folder)
        boxes: list[Any] = [[None]] * len(files)
        sizes: dict[Path, tuple[int, int]] = {}
        if boxes_file is not None:
            boxes, stated = read_boxes_and_sizes(boxes_file, files)
            sizes = dict(zip(files, stated, strict=True))
        people = [(file, box) for file, of_image in zip(files, boxes, strict=True) for box in of_image]
        # People of one image follow each other: the last image read serves them all.
        read = lru_cache(maxsize=1)(read_annotated)

        def cut_out(spec: PoseSpec, person: tuple[Path, np.ndarray | None]) -> dict[str, Any]:
            file, box = person
            return spec.cut_out(read(file, sizes.get(file, (0, 0)))[0], None if box is None else [box])[0]

        chosen, problems = [people[i] for i in spread(len(people), count)], {}
        for file in dict.fromkeys(file for file, _ in chosen):
            try:
                read_image(file)
            except DataError as error:
                problems[file] = str(error)
        if len(problems) == len({file for file, _ in chosen}):
            raise DataError(next(iter(problems.values())))
        for problem in problems.values():
            _logger.warning("skipped: %s", problem)
        able = [person for person in chosen if person[0] not in problems]
        return cls(task, "TestReader", able, cut_out, count, list(problems.values()))

    @classmethod
    def from_dataset(
        cls, task: Task, key: Literal["TrainDataset", "EvalDataset"], count: int
    ) -> "CalibrationImages":
        """The people of a dataset of the config, as EvalReader prepares them."""
        dataset = task.dataset(key)
        people = range(len(dataset))
        return cls(task, "EvalReader", people, lambda spec, number: spec.prepare(dataset[number]), count)

    def __iter__(self) -> Iterator[paddle.Tensor]:
        starts = range(0, len(self._people), self._batch_size)
        for start in tqdm(starts, desc="calibrating", unit="batch", disable=None, leave=False):
            yield self._make_batch(self._people[start : start + self._batch_size])

    def check(self) -> None:
        """Raise DataError, when all else is done, where images were skipped."""
        if self._problems:
            raise DataError(f"{len(self._problems)} images were skipped: {self._problems[0]}")

    def sample(self, count: int) -> paddle.Tensor:
        """One batch (N, 3, h, w) of up to ``count`` of the images."""
        return self._make_batch([self._people[i] for i in spread(len(self._people), count)])

    def _make_batch(self, people: Sequence[Any]) -> paddle.Tensor:
        batch = self._spec.make_batch([self._cut_out(self._spec, person) for person in people])
        self._spec.check_batch(batch)
        return paddle.to_tensor(batch["image"])


def make_sampled_ap(task: Task, count: int) -> Callable[[nn.Layer], float]:
    """A function that gives a network's AP, or what its metric has first, on about ``count`` people.

    They are all the people of images from all over the EvalDataset, kept in memory.
    """
    dataset = task.dataset("EvalDataset")
    known = np.unique(dataset.image_ids)
    images = known[spread(len(known), max(1, count * len(known) // len(dataset)))]
    people = np.flatnonzero(np.isin(dataset.image_ids, images))
    metric = task.metric(dataset, annotations=dataset.annotations.with_images(images))
    reader = make_reader(task, task.pose_spec("EvalReader"))
    batches = list(read_batches(reader, dataset, people, workers=0))

    def measure_ap(model: nn.Layer) -> float:
        metric.reset()
        predictor = network_predictor(task, model, "EvalReader")
        for index, batch in batches:
            update_metric(metric, dataset, index, *predictor.find_keypoints(batch))
        return metric.compute()[metric.headline[0]]

    return measure_ap
