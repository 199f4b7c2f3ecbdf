"""From uint8 pixels to the network's float input; for one sample and for a batch alike."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from ppose.errors import ConfigError
from ppose.transforms.transform import Transform
from ppose.workspace import register


@register(Transform)
class NormalizeImage:
    """(image / 255 - mean) / std per channel, RGB; without ``is_scale`` the division by 255 is left out.

    Reads image (.., H, W, 3) uint8; replaces it by float32 that lies in memory as `Permute` wants it: image
    * ``factor`` + ``offset``, each (3,).
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], is_scale: bool = True) -> None:
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ConfigError(
                f"NormalizeImage: got mean {list(mean)} and std {list(std)}, expected three numbers each, "
                "those of std above 0"
            )
        deviation = np.asarray(std, np.float64) * (255.0 if is_scale else 1.0)
        self.factor = (1.0 / deviation).astype(np.float32)
        self.offset = (-np.asarray(mean, np.float64) / np.asarray(std, np.float64)).astype(np.float32)

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        image = sample["image"]
        *lead, height, width, _ = image.shape
        planes = np.empty((*lead, 3, height, width), np.float32)
        # Image by image, which stays in the processor's cache; OpenCV takes the channels apart quickest.
        images = image.reshape(-1, height, width, 3)
        for one, out in zip(images, planes.reshape(-1, 3, height, width), strict=True):
            for channel, plane in enumerate(cv2.split(one)):
                np.multiply(plane, self.factor[channel], out=out[channel])
                out[channel] += self.offset[channel]
        sample["image"] = np.moveaxis(planes, -3, -1)
        return sample

    def undo(self, image: np.ndarray) -> np.ndarray:
        """The uint8 pixels (.., H, W, 3) of a normalised image of that shape."""
        return np.clip((image - self.offset) / self.factor, 0, 255).round().astype(np.uint8)


@register(Transform)
class Permute:
    """Channels first: image (.., H, W, C) becomes (.., C, H, W), contiguous."""

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        sample["image"] = np.ascontiguousarray(np.moveaxis(sample["image"], -1, -3))
        return sample
