"""Poses of people in images."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import paddle

from ppose.engine.evaluate import make_predict, predict_keypoints
from ppose.engine.task import Task


def infer_images(
    task: Task, model: paddle.nn.Layer, scenes: Iterable[tuple[np.ndarray, np.ndarray | None]]
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yield keypoints (N, K, 3) of the people of each image: x, y in image pixels and score; and their boxes.

    A scene is an image (H, W, 3) uint8, RGB, and bbox_xywh (N, 4), or None for the whole image as one person.
    As many images as TestReader's batch_size are in memory at a time; their people share batches.
    """
    model.eval()
    reader, count = task.reader("TestReader"), task.keypoint_set.num_keypoints
    predict = make_predict(task, model, flip=task.test.flip)
    scenes = iter(scenes)
    while chunk := list(islice(scenes, reader.batch_size)):
        images, boxes = zip(*chunk, strict=True)
        dataset = task.dataset("TestDataset", images=images, boxes=boxes)
        poses: list[list[np.ndarray]] = [[] for _ in images]
        # A few images are done before worker processes have started.
        batches = reader.batches(dataset, workers=0)
        for index, keypoints, scores in predict_keypoints(predict, task.codec, batches):
            for sample, pose in zip(index, np.dstack([keypoints, scores]), strict=True):
                poses[dataset.image_indices[sample]].append(pose)
        for of_image, its_boxes in zip(poses, boxes, strict=True):
            yield np.array(of_image, np.float64).reshape(-1, count, 3), its_boxes
