"""Checks that an exported graph with decoding gives the keypoints of its heatmaps."""

import numpy as np

from ppose.errors import ExportError
from ppose.inference.pose_spec import PoseSpec
from ppose.inference.predictor import Predictor

TOLERANCE = 1e-2  # image pixels

# The share of keypoints that must be within the tolerance. In heatmaps of noise, DARK divides by almost 0 at
# some keypoints, and at others rounding decides between two equal neighbours.
_SHARE = 0.9
_CHECKED_IMAGES = 2
# Rotates, scales and shifts, so that each element of the inverse matters.
_WARP = np.array([[0.8, 0.1, 3.0], [-0.2, 0.9, 5.0]])


def make_noise(spec: PoseSpec) -> np.ndarray:
    """Return random images (N, h, w, 3) uint8 of the input's size; N is the fixed batch, or else 2."""
    width, height = spec.input_size
    shape = (spec.batch or _CHECKED_IMAGES, height, width, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def cut_out_all(spec: PoseSpec, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return the batch (see `PoseSpec.make_batch`) of images with one person each."""
    return spec.make_batch([spec.cut_out(image, None)[0] for image in images])


def compare_decoding(decodes: Predictor, exported: Predictor) -> float:
    """Return the 90 % quantile of the keypoints' errors of a graph with decoding, in image pixels.

    ``exported`` is the same network without decoding, in the same runtime; its heatmaps are decoded here.
    Raises ExportError if the quantile exceeds 0.01 pixels, or a score's error 1e-3.
    """
    batch = cut_out_all(exported.spec, make_noise(exported.spec))
    batch["warp"] = np.broadcast_to(_WARP, batch["warp"].shape)
    found, scores = decodes.find_keypoints(batch)
    expected, expected_scores = exported.find_keypoints(batch)
    off = float(np.quantile(np.abs(found - expected).max(axis=-1), _SHARE))
    of_scores = float(np.abs(scores - expected_scores).max() / max(np.abs(expected_scores).max(), 1e-6))
    if not (off <= TOLERANCE and of_scores <= 1e-3):
        raise ExportError(
            f"the graph's keypoints are off by {off:.1e} pixels, their scores by {of_scores:.1e}, from those "
            f"decoded from its heatmaps, expected {TOLERANCE:.0e} and 1e-03 at most; nothing was written: "
            "export without --decode_in_graph"
        )
    return off
