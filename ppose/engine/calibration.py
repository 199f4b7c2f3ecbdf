"""Images to calibrate a network on, and AP on a part of a dataset."""

import logging
from collections.abc import Callable, Iterator, Sequence
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
from ppose.transforms import read_annotated

_logger = logging.getLogger(__name__)


class CalibrationImages:
    """Batches (N, 3, h, w) of people, as the network sees them at evaluation, with a progress bar.

    The crops are kept in memory: 150 KB each at 256x192.
    """

    def __init__(
        self, spec: PoseSpec, batch_size: int, samples: Sequence[dict[str, Any]], problems: Sequence[str] = ()
    ) -> None:
        self._spec, self._batch_size, self._samples, self._problems = spec, batch_size, samples, problems

    @classmethod
    def from_folder(
        cls, task: Task, folder: str | Path, count: int, boxes_file: str | Path | None = None
    ) -> "CalibrationImages":
        """Up to ``count`` people of a box file, spread over a folder's images, or each image as one person.

        Boxes are read as by `read_boxes_and_sizes`, photos rotated as in `ImageFiles`. Unreadable images are
        skipped with a warning; DataError if none can be read.
        """
        files = list_images(folder)
        boxes: list[Any] = [[None]] * len(files)
        sizes = [(0, 0)] * len(files)
        if boxes_file is not None:
            boxes, sizes = read_boxes_and_sizes(boxes_file, files)
        people = [(row, box) for row, of_image in enumerate(boxes) for box in of_image]
        chosen: dict[int, list[Any]] = {}
        for i in spread(len(people), count):
            row, box = people[i]
            chosen.setdefault(row, []).append(box)
        spec, samples, problems = task.pose_spec("TestReader"), list[dict[str, Any]](), list[str]()
        for row, of_image in chosen.items():
            try:
                image = read_annotated(files[row], sizes[row])[0]
            except DataError as error:
                problems.append(str(error))
                continue
            samples += spec.cut_out(image, None if boxes_file is None else of_image)
        if not samples:
            raise DataError(problems[0])
        for problem in problems:
            _logger.warning("skipped: %s", problem)
        return cls(spec, task.reader("TestReader").batch_size, samples, problems)

    @classmethod
    def from_dataset(
        cls, task: Task, key: Literal["TrainDataset", "EvalDataset"], count: int
    ) -> "CalibrationImages":
        """Up to ``count`` people spread over a dataset of the config, as EvalReader prepares them."""
        dataset, spec = task.dataset(key), task.pose_spec("EvalReader")
        samples = [spec.prepare(dataset[number]) for number in spread(len(dataset), count)]
        return cls(spec, task.reader("EvalReader").batch_size, samples)

    def __iter__(self) -> Iterator[paddle.Tensor]:
        starts = range(0, len(self._samples), self._batch_size)
        for start in tqdm(starts, desc="calibrating", unit="batch", disable=None, leave=False):
            yield self._make_batch(self._samples[start : start + self._batch_size])

    def check(self) -> None:
        """Raise DataError if images were skipped; call it when all else is done."""
        if self._problems:
            raise DataError(f"{len(self._problems)} images were skipped: {self._problems[0]}")

    def sample(self, count: int) -> paddle.Tensor:
        """One batch (N, 3, h, w) of up to ``count`` of the images."""
        return self._make_batch([self._samples[i] for i in spread(len(self._samples), count)])

    def _make_batch(self, samples: Sequence[dict[str, Any]]) -> paddle.Tensor:
        batch = self._spec.make_batch(samples)
        self._spec.check_batch(batch)
        return paddle.to_tensor(batch["image"])


def make_sampled_ap(task: Task, count: int) -> Callable[[nn.Layer], float]:
    """A function that gives a network's AP, or its metric's first value, on about ``count`` people.

    They are all people of images spread over the EvalDataset, kept in memory.
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
