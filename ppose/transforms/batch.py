"""Makes batches from samples, in the same way for training, evaluation and prediction."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ppose.transforms.transform import Transform

_STACKED = ("index", "image", "warp", "heatmaps", "target_weight")


def apply_transforms(transforms: Iterable[Transform], sample: dict[str, Any]) -> dict[str, Any]:
    """Apply the transforms in order to a sample, or to a batch."""
    for transform in transforms:
        sample = transform(sample)
    return sample


def make_batch(samples: Sequence[dict[str, Any]], transforms: Iterable[Transform]) -> dict[str, np.ndarray]:
    """Index, image, warp, heatmaps, target_weight, as far as samples have them, stacked and transformed."""
    batch = {key: np.stack([s[key] for s in samples]) for key in _STACKED if key in samples[0]}
    return apply_transforms(transforms, batch)
