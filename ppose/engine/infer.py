"""Poses of people in image files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import paddle
from tqdm import tqdm

from ppose.engine.evaluate import make_predict, predict_keypoints
from ppose.engine.task import Task


def infer_images(
    task: Task, model: paddle.nn.Layer, image_files: Sequence[Path], boxes: Sequence[np.ndarray] | None = None
) -> list[np.ndarray]:
    """Keypoints (N, K, 3) of the N people of each image: x, y in image pixels and score.

    ``boxes`` holds (N, 4) bbox_xywh for each image; without it the whole image is one person.
    """
    dataset = task.dataset("TestDataset", image_files=image_files, boxes=boxes)
    poses: list[list[np.ndarray]] = [[] for _ in image_files]
    model.eval()
    # A few images are done before worker processes have started.
    batches = task.batches("TestReader", dataset, workers=0)
    progress = tqdm(batches, desc="inferring", unit="batch", disable=None, leave=False)
    for index, keypoints, scores in predict_keypoints(
        make_predict(task, model, flip=task.test.flip), task.codec, progress
    ):
        for sample, pose in zip(index, np.dstack([keypoints, scores]), strict=True):
            poses[dataset.image_indices[sample]].append(pose)
    count = task.keypoint_set.num_keypoints
    return [np.array(of_image, np.float64).reshape(-1, count, 3) for of_image in poses]
