"""What a metric is."""

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
    """How good the poses of a dataset's people are; built with its annotations and its keypoint set.

    ``default_keypoint_set`` names the built-in set of a config that has this metric and names none.
    ``headline`` are the numbers that the log of a training shows; by the first of them, the higher the
    better, training keeps the best network.
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

        ``area`` is that of the padded box, in square image pixels; image_id and category_id are what results
        files say.
        """

    def compute(self) -> dict[str, float]:
        """The numbers by name; -1 stands for one that there is nothing to compute from."""

    def write_results(self, path: str | Path) -> None:
        """Write the people to a file, for others to evaluate."""


def to_record(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """The numbers as files have them: None where there is none (NaN, infinity)."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def as_annotations(
    given: str | Path | Mapping[str, Any] | Annotations | None, keypoint_set: KeypointSet
) -> Annotations | None:
    """What a metric was given to evaluate against, read where that is a COCO keypoint file or its content."""
    return given if isinstance(given, Annotations | None) else read_annotations(given, keypoint_set)


def require(annotations: Known | None) -> Known:
    """What a metric evaluates against; DataError where it has nothing."""
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
