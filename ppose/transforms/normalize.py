"""Converts uint8 pixels to the network's float input, for a sample or a batch."""

from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np

from ppose.errors import ConfigError
from ppose.transforms.transform import Transform
from ppose.workspace import Given, register

ChannelOrder = Literal["rgb", "bgr"]


@register(Transform)
class NormalizeImage:
    """(image / 255 - mean) / std per channel; without ``is_scale`` there is no division by 255.

    Reads image (.., H, W, 3) uint8, RGB; replaces it by float32 in the memory layout of `Permute`: channels
    in ``channel_order``, which is also that of ``mean`` and ``std``, times ``factor`` plus ``offset``, each
    (3,). The config's top-level key `channel_order` is the order that its network takes.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float] = (1.0, 1.0, 1.0),
        is_scale: bool = True,
        channel_order: Given[ChannelOrder] = "rgb",
    ) -> None:
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ConfigError(
                f"NormalizeImage: got mean {list(mean)} and std {list(std)}, expected three numbers each, "
                "those of std above 0"
            )
        self.channel_order = channel_order
        deviation = np.asarray(std, np.float64) * (255.0 if is_scale else 1.0)
        with np.errstate(over="ignore"):
            self.factor = (1.0 / deviation).astype(np.float32)
            self.offset = (-np.asarray(mean, np.float64) / np.asarray(std, np.float64)).astype(np.float32)
        if not np.isfinite([self.factor, self.offset]).all():
            raise ConfigError(f"NormalizeImage: mean {list(mean)} and std {list(std)} give no finite numbers")

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        image = sample["image"]
        *lead, height, width, _ = image.shape
        planes = np.empty((*lead, 3, height, width), np.float32)
        # Image by image, to stay in the processor's cache; OpenCV splits the channels fastest.
        images = image.reshape(-1, height, width, 3)
        for one, out in zip(images, planes.reshape(-1, 3, height, width), strict=True):
            for channel, plane in enumerate(self._reorder(cv2.split(one))):
                np.multiply(plane, self.factor[channel], out=out[channel])
                out[channel] += self.offset[channel]
        sample["image"] = np.moveaxis(planes, -3, -1)
        return sample

    def undo(self, image: np.ndarray) -> np.ndarray:
        """The uint8 pixels (.., H, W, 3), RGB, of a normalised image of that shape."""
        pixels = np.clip((image - self.offset) / self.factor, 0, 255).round().astype(np.uint8)
        return pixels[..., ::-1] if self.channel_order == "bgr" else pixels

    def _reorder(self, planes: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        return planes[::-1] if self.channel_order == "bgr" else planes


@register(Transform)
class Permute:
    """Channels first: image (.., H, W, C) becomes (.., C, H, W), contiguous."""

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        sample["image"] = np.ascontiguousarray(np.moveaxis(sample["image"], -1, -3))
        return sample
