"""What a dataset is."""

from typing import Any, Protocol

import numpy as np


class Dataset(Protocol):
    """People, one sample each.

    A sample is a dict with image (H, W, 3) uint8, RGB, center and scale (2,) in image pixels (see
    `bbox_xywh_to_center_scale`) and, for training, keypoints (K, 2) in image pixels and visible (K,). A
    `LazySample` reads its image when it is asked for; of a sample with image_file only, `Decode` does.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The sample of that index; DataError for an image that cannot be read."""


class EvalDataset(Dataset, Protocol):
    """A dataset with what metrics ask for.

    ``annotations`` is what its metric compares with, as that takes it; `with_images` gives that of some ids.
    ``boxes`` says in words where its boxes come from; image_ids and category_ids (both as the file has them),
    areas (of the padded boxes, in square image pixels) and bbox_scores are arrays of its length.
    """

    annotations: Any
    boxes: str
    image_ids: np.ndarray
    category_ids: np.ndarray
    areas: np.ndarray
    bbox_scores: np.ndarray
