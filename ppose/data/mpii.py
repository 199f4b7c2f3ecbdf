"""People of MPII, one sample per person."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ppose.annotations import PERSON
from ppose.data.coco import GROUND_TRUTH_BOXES
from ppose.data.dataset import Dataset
from ppose.errors import DataError
from ppose.keypoints import KeypointSet
from ppose.mpii_format import NUM_KEYPOINTS, read_people
from ppose.transforms import LazySample, read_image
from ppose.workspace import Given, register


@register(Dataset, ignored=("pixel_std",))
class KeypointTopDownMPIIDataset:
    """One sample per person of MPII's annotations, cropped by center and scale.

    Paths are relative to ``dataset_dir``. ``image_dir`` is the folder of images; ``anno_path`` is the JSON of
    the official HRNet or PaddleDetection, or the release's own `.mat` (its training images). See
    `ppose.mpii_format.read_people`, also for the boxes. If the input is not square, the crop's height follows
    its width.

    Samples, and the arrays over all samples, are as in `KeypointTopDownCocoDataset`; image_ids are the
    numbers in the images' names, or the images' indexes in the file.
    """

    def __init__(
        self,
        image_dir: str,
        anno_path: str,
        keypoint_set: Given[KeypointSet],
        dataset_dir: str = "",
        num_joints: int | None = None,
        trainsize: Sequence[int] | None = None,
    ) -> None:
        if keypoint_set.num_keypoints != NUM_KEYPOINTS or num_joints not in (None, NUM_KEYPOINTS):
            raise DataError(
                f"MPII's people have 16 keypoints: num_joints is {num_joints}, the keypoint set "
                f"'{keypoint_set.name}' has {keypoint_set.num_keypoints}"
            )
        self.annotations = read_people(Path(dataset_dir) / anno_path)
        self.boxes = GROUND_TRUTH_BOXES
        self._folder = Path(dataset_dir) / image_dir
        # People of one image are consecutive, so the last image read serves them all.
        self._read = lru_cache(maxsize=1)(read_image)
        height = 1.0 if trainsize is None else trainsize[1] / trainsize[0]
        self._scales = self.annotations.scales[:, None] * np.array([1.0, height])
        self.image_ids = self.annotations.image_ids
        self.areas = self._scales.prod(axis=1)
        self.bbox_scores = np.ones(len(self))
        self.category_ids = np.full(len(self), PERSON)

    def __len__(self) -> int:
        return len(self.annotations.image_files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The sample of one person; reading its image raises DataError with its name if it is unreadable."""
        people = self.annotations
        return LazySample(
            self._read,
            image_file=str(self._folder / people.image_files[index]),
            center=people.centers[index],
            scale=self._scales[index],
            keypoints=people.keypoints[index] - 1,
            visible=people.visible[index].astype(np.float32),
        )
