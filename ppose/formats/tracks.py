"""Tracks: where people are in a video's frames; the output of every reader of tracks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ppose.errors import DataError
from ppose.paths import show_name


@dataclass(frozen=True, eq=False)
class Tracks:
    """N sightings of people in a video.

    ``frames`` (N,) count from 0, ``tracks`` (N,) identify people, ``bboxes_xywh`` (N, 4) and ``keypoints``
    (N, K, 3), x, y and score or visibility, are in image pixels. A file without keypoints has K = 0, one
    without scores has score 1. ``is_filled`` (N,) marks interpolated sightings. ``head_sizes`` (N,) are in
    pixels, NaN if unknown. ``annotated`` are the annotated frames, None for all. ``ignored`` are polygons
    (V, 2) by frame in which nobody is annotated.
    """

    frames: np.ndarray
    tracks: np.ndarray
    bboxes_xywh: np.ndarray
    scores: np.ndarray
    keypoints: np.ndarray
    names: tuple[str, ...]
    is_filled: np.ndarray
    head_sizes: np.ndarray
    annotated: np.ndarray | None = None
    ignored: Mapping[int, list[np.ndarray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frames)

    def by_frame(self, count: int) -> list[np.ndarray]:
        """The rows of each of the first ``count`` frames."""
        order = np.argsort(self.frames, kind="stable")
        ends = np.searchsorted(self.frames[order], np.arange(count + 1))
        return [order[ends[frame] : ends[frame + 1]] for frame in range(count)]


def make_tracks(where: str, columns: Mapping[str, Any], names: tuple[str, ...], **more: Any) -> Tracks:
    """Make tracks of columns as read; DataError if somebody is in a frame twice, or numbers are not whole.

    ``columns`` are frames, tracks, bboxes_xywh, and optionally others of `Tracks`.
    """
    frames, tracks = (_whole(where, columns[name]) for name in ("frames", "tracks"))
    count = len(frames)
    places, times = np.unique(np.stack([frames, tracks], axis=1), axis=0, return_counts=True)
    if count and times.max() > 1:
        frame, track = places[times.argmax()].tolist()
        raise DataError(f"{show_name(where)}: track {track} is in frame {frame} twice")
    return Tracks(
        frames,
        tracks,
        np.asarray(columns["bboxes_xywh"], np.float64).reshape(count, 4),
        np.asarray(columns.get("scores", np.ones(count)), np.float64),
        np.asarray(columns.get("keypoints", []), np.float64).reshape(count, len(names), 3),
        names,
        np.asarray(columns.get("is_filled", np.zeros(count)), bool),
        np.asarray(columns.get("head_sizes", np.full(count, np.nan)), np.float64),
        **more,
    )


def _whole(where: str, numbers: Any) -> np.ndarray:
    values = np.asarray(numbers, np.float64)
    if odd := values[values % 1 != 0].tolist():
        raise DataError(f"{show_name(where)}: got {odd[0]:g}, expected whole numbers as frames and tracks")
    return values.astype(np.int64)
