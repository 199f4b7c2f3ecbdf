"""Synthetic people as training samples, drawn on access."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ppose.data.dataset import Dataset
from ppose.data.synthetic.figure import COCO17
from ppose.data.synthetic.scene import render_scene
from ppose.errors import DataError
from ppose.geometry import bbox_xywh_to_center_scale
from ppose.keypoints import KeypointSet
from ppose.workspace import Given, register


@register(Dataset)
class SyntheticPeopleDataset:
    """``num_images`` scenes of the input's size (w, h); a sample is the largest person of a scene.

    A sample is as in `KeypointTopDownCocoDataset`: image_file (a name for messages, there is no file),
    image (H, W, 3) RGB, center, scale (image pixels, padded by 1.25 to the input's aspect ratio),
    keypoints (17, 2) and visible (17,). Raises DataError for another keypoint set than coco17.
    """

    def __init__(
        self,
        trainsize: Sequence[int],
        keypoint_set: Given[KeypointSet],
        num_images: int = 10000,
        seed: int = 0,
        variety: float = 1.0,
    ) -> None:
        if keypoint_set.names != COCO17.names:
            raise DataError(f"synthetic people have the set coco17, got the set '{keypoint_set.name}'")
        if num_images < 1:
            raise DataError(f"got num_images {num_images}, expected at least 1")
        self._size = (int(trainsize[0]), int(trainsize[1]))
        self._num_images, self._seed, self._variety = num_images, seed, variety

    def __len__(self) -> int:
        return self._num_images

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The sample of one scene."""
        image, annotations = render_scene(self._seed, index, self._size, (1, 2), self._variety)
        person = max(annotations, key=lambda annotation: annotation["area"])
        center, scale = bbox_xywh_to_center_scale(person["bbox"], self._size[0] / self._size[1])
        points = np.reshape(person["keypoints"], (-1, 3))
        return {
            "image_file": f"synthetic scene {index} of seed {self._seed}",
            "image": image,
            "center": center,
            "scale": scale,
            "keypoints": points[:, :2],
            "visible": (points[:, 2] > 0).astype(np.float32),
        }
