"""Images to look at: files or what is read of them, with boxes or as whole pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ppose.geometry import bbox_xywh_to_center_scale
from ppose.workspace import Given, register


@register(ignored=("anno_path", "dataset_dir", "image_dir"))
class ImageFolder:
    """One sample a person of the given images: image or image_file, and center and scale of its box, if any.

    ``images`` are files, or arrays (H, W, 3) uint8, RGB. ``boxes`` holds (N, 4) bbox_xywh in image pixels for
    each image, or None for the whole image as one person. ``image_indices`` (of all samples) says which image
    each sample is of.
    """

    def __init__(
        self,
        images: Given[Sequence[Path | np.ndarray]],
        trainsize: Given[Sequence[int]],
        boxes: Given[Sequence[np.ndarray | None] | None] = None,
    ) -> None:
        self._images = images
        boxes = [None] * len(images) if boxes is None else boxes
        self._aspect_ratio = trainsize[0] / trainsize[1]
        self._people: list[tuple[int, np.ndarray | None]] = []
        for image, of_image in enumerate(boxes):
            self._people += [(image, None)] if of_image is None else [(image, box) for box in of_image]
        self.image_indices = np.array([image for image, _ in self._people], np.int64)

    def __len__(self) -> int:
        return len(self._people)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The sample of one person; the image of a file is read by the `Decode` transform."""
        number, box = self._people[index]
        image = self._images[number]
        sample: dict[str, Any] = {"image_file": str(image)} if isinstance(image, Path) else {"image": image}
        if box is not None:
            sample["center"], sample["scale"] = bbox_xywh_to_center_scale(box, self._aspect_ratio)
        return sample
