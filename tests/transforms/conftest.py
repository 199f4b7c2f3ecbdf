"""A small crop with keypoints, for transforms that change crops and pictures."""

import cv2
import numpy as np
import pytest

_NOISE = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
_IMAGE = cv2.resize(_NOISE, (48, 64), interpolation=cv2.INTER_CUBIC)
_IMAGE.flags.writeable = False  # datasets hand the same image out again


@pytest.fixture
def make_sample():
    """Makes a sample of 48x64 pixels, its generator seeded by ``seed``; other keys as given."""

    def make(seed=0, **changes):
        return {
            "image": _IMAGE,
            "keypoints": np.random.default_rng(1).uniform([8, 8], [40, 56], (17, 2)),
            "visible": np.ones(17, np.float32),
            "center": np.array([24.0, 32.0]), "scale": np.array([42.0, 56.0]),
            "generator": np.random.default_rng(seed),
            **changes,
        }  # fmt: skip

    return make
