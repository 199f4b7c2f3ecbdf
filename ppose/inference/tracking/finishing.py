"""Fills gaps in the tracks of a whole video, and smooths their poses."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from ppose.inference.one_euro import OneEuroFilter
from ppose.inference.poses import Pose
from ppose.inference.tracking.smoothing import fit_parabolas, smooth_rts
from ppose.inference.tracking.tracker import person_size

Smoothing = Literal["one_euro", "savgol", "rts"]
Found = list[tuple[int, Pose]]

_APART_SECONDS = 0.5


@dataclass(frozen=True)
class Finish:
    """How to finish tracks: the filter to ``smooth`` with, or None; fill gaps of up to ``gap_seconds``."""

    smooth: Smoothing | None = None
    gap_seconds: float = 0.0

    @property
    def needs_all(self) -> bool:
        """Whether it uses future frames, so that the whole video must be read first."""
        return self.smooth in ("savgol", "rts") or self.gap_seconds > 0


def finish_tracks(scenes: Sequence[tuple[float, Found]], finish: Finish) -> list[Found]:
    """The people of each frame, given with its time; gaps of up to ``finish.gap_seconds`` are filled.

    Filled poses interpolate keypoints, scores and box linearly between the poses before and after the gap.
    They have ``is_filled`` true, and follow the found people. `smooth_rts` treats them as not measured.
    """
    tracks: dict[int, dict[int, Pose]] = {}
    for frame, (_, people) in enumerate(scenes):
        for number, pose in people:
            tracks.setdefault(number, {})[frame] = pose
    times = np.array([time for time, _ in scenes])
    found: list[dict[int, Pose]] = [dict(people) for _, people in scenes]
    for number, poses in tracks.items():
        filled = _fill_gaps(poses, times, finish.gap_seconds)
        for frame, pose in _smooth(filled, times, finish.smooth).items():
            found[frame][number] = pose
    return [list(people.items()) for people in found]


def _fill_gaps(poses: dict[int, Pose], times: np.ndarray, longest: float) -> dict[int, Pose]:
    frames = sorted(poses)
    filled = dict(poses)
    for before, after in pairwise(frames):
        if after - before > 1 and times[after] - times[before] <= longest:
            for frame in range(before + 1, after):
                share = (times[frame] - times[before]) / (times[after] - times[before])
                filled[frame] = _between(poses[before], poses[after], share)
    return dict(sorted(filled.items()))


def _between(before: Pose, after: Pose, share: float) -> Pose:
    def mix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (1 - share) * a + share * b

    scores = mix(before.scores, after.scores)
    return Pose(
        mix(before.keypoints, after.keypoints), scores, float(scores.mean()),
        mix(before.bbox_xyxy, after.bbox_xyxy), is_filled=True,
    )  # fmt: skip


def _smooth(poses: dict[int, Pose], times: np.ndarray, smooth: Smoothing | None) -> dict[int, Pose]:
    if smooth is None:
        return poses
    result: dict[int, Pose] = {}
    for part in _split(list(poses), times):
        people = [poses[frame] for frame in part]
        keypoints = np.array([pose.keypoints for pose in people], np.float64)
        sizes = np.array([person_size(pose.bbox_xyxy) for pose in people])
        if smooth == "one_euro":
            follow = OneEuroFilter()
            points = [follow(*each) for each in zip(keypoints, times[part], sizes, strict=True)]
        elif smooth == "savgol":
            points = list(fit_parabolas(keypoints, times[part]))
        else:
            scores = np.array([pose.scores for pose in people])
            measured = np.array([not pose.is_filled for pose in people])
            points = list(smooth_rts(keypoints, times[part], scores, sizes, measured))
        for frame, pose, smoothed in zip(part, people, points, strict=True):
            result[frame] = dataclasses.replace(pose, keypoints=smoothed)
    return result


def _split(frames: list[int], times: np.ndarray) -> list[list[int]]:
    """Frames of a track, split where the next one is over 0.5 s after the last, or not after it."""
    parts: list[list[int]] = [[]]
    for frame in frames:
        if parts[-1] and not 0 < times[frame] - times[parts[-1][-1]] <= _APART_SECONDS:
            parts.append([])
        parts[-1].append(frame)
    return parts
