"""Images that show what a network will see, and AP on a part of a dataset."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import paddle
from paddle import nn
from paddle.io import Subset
from tqdm import tqdm

from ppose.coco_format import read_people
from ppose.data import Batches
from ppose.data.reader import spread
from ppose.engine.evaluate import make_predict, predict_keypoints, update_metric
from ppose.engine.task import Task
from ppose.files import read_json
from ppose.image_files import list_images, read_boxes
from ppose.metrics import CocoKeypointMetric


class CalibrationImages:
    """Batches of up to ``count`` people as the network sees them at evaluation, from all over the data.

    Each iteration is over batches (N, 3, h, w), with a progress bar.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    @classmethod
    def from_folder(
        cls, task: Task, folder: str | Path, count: int, boxes_file: str | Path | None = None
    ) -> "CalibrationImages":
        """The people of a box file (see `read_boxes`) in a folder's images, or each image as one person."""
        files = list_images(folder)
        boxes = None if boxes_file is None else read_boxes(boxes_file, files)
        dataset = task.dataset("TestDataset", images=files, boxes=boxes)
        return cls(task.batches("TestReader", _subset(dataset, count), workers=0))

    @classmethod
    def from_dataset(
        cls, task: Task, key: Literal["TrainDataset", "EvalDataset"], count: int
    ) -> "CalibrationImages":
        """The people of a dataset of the config, as EvalReader prepares them."""
        return cls(task.batches("EvalReader", _subset(task.dataset(key), count), workers=0))

    def __iter__(self) -> Iterator[paddle.Tensor]:
        for batch in tqdm(self._batches, desc="calibrating", unit="batch", disable=None, leave=False):
            yield batch["image"]

    def sample(self, count: int) -> paddle.Tensor:
        """One batch (N, 3, h, w) of up to ``count`` of the images."""
        return self._batches.examples(count)["image"]


def _subset(dataset: Any, count: int) -> Subset:
    return Subset(dataset, spread(len(dataset), count))


def make_sampled_ap(task: Task, count: int) -> Callable[[nn.Layer], float]:
    """A function that gives a network's AP on about ``count`` people of the EvalDataset, kept in memory.

    They are all the people of images from all over the dataset.
    """
    dataset = task.dataset("EvalDataset")
    known = np.unique(dataset.image_ids)
    images = known[spread(len(known), max(1, count * len(known) // len(dataset)))]
    people = np.flatnonzero(np.isin(dataset.image_ids, images))
    metric = CocoKeypointMetric(_annotations_of(images, dataset.anno_file, task), task.keypoint_set)
    batches = list(task.batches("EvalReader", Subset(dataset, people.tolist()), workers=0))

    def measure_ap(model: nn.Layer) -> float:
        metric.reset()
        model.eval()
        predict = make_predict(task, model, flip=task.test.flip)
        for index, keypoints, scores in predict_keypoints(predict, task.codec, batches):
            update_metric(metric, dataset, people[index], keypoints, scores)
        return metric.compute()["AP"]

    return measure_ap


def _annotations_of(images: np.ndarray, file: Path, task: Task) -> dict[str, Any]:
    """The content of an annotation file, as far as it is of images of these ids."""
    content = read_json(file, "annotation file")
    people = read_people(content, task.keypoint_set, str(file))
    ids = set(images.tolist())
    return {
        **content,
        "images": [image for image in content["images"] if image["id"] in ids],
        "annotations": [person for person in people if person["image_id"] in ids],
    }
