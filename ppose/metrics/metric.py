"""The protocol of metrics."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from ppose.annotations import Annotations, read_annotations
from ppose.errors import ConfigError, DataError
from ppose.keypoints import KeypointSet

Known = TypeVar("Known")


class Metric(Protocol):
    """Measures the poses of a dataset's people; built with its annotations and keypoint set.

    ``default_keypoint_set`` names the built-in set for a config with this metric that names none.
    ``headline`` are the numbers in the training log; training keeps the network with the highest first one.
    """

    default_keypoint_set: ClassVar[str]
    headline: ClassVar[tuple[str, ...]]

    def reset(self) -> None:
        """Forget all people."""

    def update(
        self,
        keypoints: np.ndarray,
        scores: np.ndarray,
        image_id: np.ndarray,
        area: np.ndarray,
        bbox_score: np.ndarray,
        category_id: np.ndarray | None = None,
    ) -> None:
        """Add N people: keypoints (N, K, 2) in image pixels, scores (N, K); of the dataset, the others (N,).

        ``area`` is that of the padded box, in square image pixels; image_id and category_id go into results
        files.
        """

    def compute(self) -> dict[str, float]:
        """The numbers by name; -1 for one without data."""

    def write_results(self, path: str | Path) -> None:
        """Write the people to a file, to be evaluated elsewhere."""


def to_record(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """The numbers in the form for files: None for NaN and infinity."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def as_annotations(
    given: str | Path | Mapping[str, Any] | Annotations | None, keypoint_set: KeypointSet
) -> Annotations | None:
    """The ground truth given to a metric; reads it if it is a COCO keypoint file or its content."""
    return given if isinstance(given, Annotations | None) else read_annotations(given, keypoint_set)


def require(annotations: Known | None) -> Known:
    """The ground truth of a metric; DataError if it has none."""
    if annotations is None:
        raise DataError("no annotations to evaluate against; results can be written without them")
    return annotations


def check_shapes(keypoints: np.ndarray, scores: np.ndarray, keypoint_set: KeypointSet) -> None:
    """Raise ConfigError unless keypoints are (N, K, 2) and scores (N, K) for the set's K keypoints."""
    count = keypoint_set.num_keypoints
    if keypoints.shape[1:] != (count, 2) or scores.shape != keypoints.shape[:2]:
        raise ConfigError(
            f"got keypoints {keypoints.shape} and scores {scores.shape}, expected (N, {count}, 2) and "
            f"(N, {count}) for the keypoint set '{keypoint_set.name}'"
        )
