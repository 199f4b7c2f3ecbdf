"""Everything between an image with a box and keypoints, except the network itself."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ppose.codecs import Codec
from ppose.errors import ConfigError, DataError
from ppose.geometry import bbox_xywh_to_center_scale, bbox_xyxy_to_xywh, invert_warp, transform_points
from ppose.keypoints import KeypointSet
from ppose.paths import show_text
from ppose.transforms import ChannelOrder, Transform
from ppose.transforms.batch import apply_transforms, make_batch
from ppose.workspace import create

_logger = logging.getLogger(__name__)
# A graph's inputs, in this order; only graphs that decode have the second.
GRAPH_INPUTS = ("image", "inverse_warp")


def name_inputs(*inputs: np.ndarray) -> dict[str, np.ndarray]:
    """A graph's inputs by their names."""
    return dict(zip(GRAPH_INPUTS, inputs, strict=False))


@dataclass(frozen=True, kw_only=True)
class PoseSpec:
    """How to make a network's input from people in images, and keypoints from its heatmaps.

    The input is image (N, 3, h, w) of ``input_size`` (w, h), its channels in ``channel_order``: normalised
    for ``input_dtype`` float32, pixels for uint8. ``batch`` is N, None any. ``flip_test``: the graph averages
    the heatmaps (N, K, H, W) with those of the mirrored image. ``decode_in_graph``: the graph returns
    keypoints (N, K, 3) instead of heatmaps, see `Runtime`. ``box_padding`` is the factor that enlarges boxes.
    ``sample_transforms`` and ``batch_transforms`` are specs for `create`: the first map a sample with an
    image (H, W, 3) RGB uint8, and center and scale unless the image is one person; the second map the stacked
    batch to the input. ``sample_steps`` and ``batch_steps`` are made from these specs. ``source`` names the
    origin of the spec in messages.
    """

    input_size: tuple[int, int]
    input_dtype: Literal["float32", "uint8"] = "float32"
    batch: int | None = None
    flip_test: bool = False
    decode_in_graph: bool = False
    channel_order: ChannelOrder = "rgb"
    box_padding: float = 1.25
    keypoint_set: KeypointSet
    codec: Codec
    sample_transforms: list[dict[str, Any]]
    batch_transforms: list[dict[str, Any]]
    source: str = field(default="the pose spec", compare=False)

    sample_steps: list[Transform] = field(init=False, compare=False, repr=False)
    batch_steps: list[Transform] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        given = {
            "keypoint_set": self.keypoint_set,
            "trainsize": self.input_size,
            "codec": self.codec,
            "channel_order": self.channel_order,
        }
        for specs, steps in (
            (self.sample_transforms, "sample_steps"),
            (self.batch_transforms, "batch_steps"),
        ):
            object.__setattr__(self, steps, [create(spec, {}, **given) for spec in specs])

    @property
    def output_name(self) -> str:
        """The name of the graph's output."""
        return "keypoints" if self.decode_in_graph else "heatmaps"

    def nobody(self) -> tuple[np.ndarray, ...]:
        """Inputs for the graph, all zeros."""
        width, height = self.input_size
        count = self.batch or 1
        image = np.zeros((count, 3, height, width), self.input_dtype)
        return (image, np.zeros((count, 2, 3), np.float32)) if self.decode_in_graph else (image,)

    def prepare(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Apply the sample transforms, which crop the person."""
        return apply_transforms(self.sample_steps, sample)

    def cut_out(self, image: np.ndarray, bboxes_xyxy: ArrayLike | None) -> list[dict[str, Any]]:
        """A sample for each person of an image (H, W, 3) uint8, RGB, after the sample transforms.

        ``bboxes_xyxy`` (N, 4) are the people's boxes in image pixels; None takes the image as one person.
        Raises DataError for an image of another form, and for boxes without extent.
        """
        _check_image(image)
        height, width = image.shape[:2]
        if bboxes_xyxy is None:
            return [self.prepare({"image": image, "bbox_xyxy": np.array([0.0, 0.0, width, height])})]
        boxes = check_boxes(bboxes_xyxy)
        aspect_ratio = self.input_size[0] / self.input_size[1]
        centers, scales = bbox_xywh_to_center_scale(bbox_xyxy_to_xywh(boxes), aspect_ratio, self.box_padding)
        return [
            self.prepare({"image": image, "bbox_xyxy": box, "center": center, "scale": scale})
            for box, center, scale in zip(boxes, centers, scales, strict=True)
        ]

    def make_batch(self, samples: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
        """image (N, 3, h, w) and warp (N, 2, 3), image to input pixels, of cropped people."""
        return make_batch(samples, self.batch_steps)

    def check_batch(self, batch: Mapping[str, np.ndarray]) -> None:
        """Raise ConfigError if the transforms did not make the network's input."""
        if "warp" not in batch:
            raise ConfigError(f"{self.source}: the transforms do not crop people: add TopDownEvalAffine")
        (width, height), image = self.input_size, batch["image"]
        if image.shape[1:] != (3, height, width) or image.dtype != self.input_dtype:
            raise ConfigError(
                f"{self.source}: the transforms give {image.dtype} {list(image.shape[1:])}, the network "
                f"takes {self.input_dtype} {[3, height, width]}; do they end with NormalizeImage and Permute?"
            )

    def decode(self, heatmaps: np.ndarray, warp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (N, K, 2) in image pixels and scores (N, K) of heatmaps, from people cropped by warp.

        All are finite, see `mark_lost`.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            keypoints, scores = self.codec.decode(heatmaps)
        return mark_lost(transform_points(keypoints, invert_warp(warp)), scores, self.source)


def mark_lost(keypoints: np.ndarray, scores: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (N, K, 2) and scores (N, K); set to (0, 0) and 0, like unlabelled, if NaN or infinite.

    Logs a warning for the first ones in a process.
    """
    lost = ~(np.isfinite(scores) & np.isfinite(keypoints).all(axis=-1))
    if not lost.any():
        return keypoints, scores
    _warn_of_lost(source.partition(" (")[0])
    return np.where(lost[..., None], 0, keypoints), np.where(lost, 0, scores)


@cache
def _warn_of_lost(source: str) -> None:
    _logger.warning(
        "%s: the network gives NaN or infinity: these keypoints are set to (0, 0) with score 0", source
    )


def _check_image(image: Any) -> None:
    is_image = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3 and image.size > 0
    if not is_image or image.dtype != np.uint8:
        kind = type(image)
        got = f"{kind.__module__}.{kind.__name__}".removeprefix("builtins.")
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else got
        raise DataError(
            f"got an image of {got}, expected a numpy array uint8 (height, width, 3), RGB, or a file's path"
        )


def check_boxes(bboxes_xyxy: ArrayLike) -> np.ndarray:
    """Boxes as an array (N, 4) float64; DataError for anything else, and for boxes without extent."""
    try:
        if np.iscomplexobj(bboxes_xyxy):
            raise TypeError("complex numbers")
        boxes = np.asarray(bboxes_xyxy, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            "got boxes that are not an array of numbers, expected (N, 4): left, top, right, bottom of each "
            f"({show_text(str(error))})"
        ) from None
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError(
            f"got boxes of shape {boxes.shape}, expected (N, 4): left, top, right, bottom of each"
        )
    bad = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] >= boxes[:, :2]).all(axis=1))
    bad |= (boxes[:, 2:] == boxes[:, :2]).all(axis=1)
    if bad.any():
        got = np.asarray(bboxes_xyxy)[bad][0].tolist()
        raise DataError(
            f"got the box {got}, expected [left, top, right, bottom] in pixels, with left before right and "
            "top above bottom (from x, y, width, height: [x, y, x + width, y + height])"
        )
    return boxes
