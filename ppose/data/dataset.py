"""The protocols of datasets."""

from typing import Any, Protocol

import numpy as np


class Dataset(Protocol):
    """People, one sample each.

    A sample is a dict with image (H, W, 3) uint8, RGB, center and scale (2,) in image pixels (see
    `bbox_xywh_to_center_scale`) and, for training, keypoints (K, 2) in image pixels and visible (K,). A
    `LazySample` reads its image on access; if a sample has only image_file, `Decode` reads it.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The sample of that index; DataError for an image that cannot be read."""


class EvalDataset(Dataset, Protocol):
    """A dataset with the attributes that metrics need.

    ``annotations`` is the ground truth in the form its metric takes; `with_images` selects image ids.
    ``boxes`` describes where its boxes come from; image_ids and category_ids (both as in the file), areas (of
    the padded boxes, in square image pixels) and bbox_scores are arrays over the samples.
    """

    annotations: Any
    boxes: str
    image_ids: np.ndarray
    category_ids: np.ndarray
    areas: np.ndarray
    bbox_scores: np.ndarray
