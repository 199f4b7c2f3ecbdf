"""MOTA of keypoints, as PoseTrack's official evaluation computes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import motmetrics
import numpy as np

_THRESHOLD = 0.5  # of head sizes
# The evaluated keypoints, in groups; others, such as ears, do not count.
GROUPS = {
    "Head": ("head_top", "head_bottom", "nose"),
    **{
        name: (f"right_{part}", f"left_{part}")
        for name, part in (
            *(("Shou", "shoulder"), ("Elb", "elbow"), ("Wri", "wrist")),
            *(("Hip", "hip"), ("Knee", "knee"), ("Ankl", "ankle")),
        )
    },
}
KEYPOINTS = tuple(name for group in GROUPS.values() for name in group)


@dataclass(frozen=True, eq=False)
class TrackedPoses:
    """People in a frame: ids (M,), keypoints (M, 15, 2) in the order of `KEYPOINTS`, and which ones exist."""

    ids: np.ndarray
    keypoints: np.ndarray
    there: np.ndarray


@dataclass(frozen=True, eq=False)
class PoseFrame:
    """A frame with annotated people, their head_sizes (M,) in pixels, and found people."""

    truth: TrackedPoses
    head_sizes: np.ndarray
    found: TrackedPoses


def score_keypoint_tracks(videos: Sequence[Sequence[PoseFrame]]) -> dict[str, float]:
    """MOTA of each of `GROUPS` and of all keypoints ("Total"), MOTP, precision and recall, in percent.

    A track's keypoint counts as found if it is at most half a head size from the annotated one. MOTA is
    computed for each of the 15 keypoints alone; means are over keypoints that are annotated at all. As in the
    official code (leonid-pishchulin/poseval), with its two oddities, which published figures include: the
    last frame of each video does not count, unless it is the only one, and a frame in which nobody was found
    is one missed and one false keypoint of each kind. MOTP is that of matched keypoints only.
    """
    names = ["num_misses", "num_switches", "num_false_positives", "num_objects", "num_detections"]
    counts, off = np.zeros((len(KEYPOINTS), len(names))), np.zeros(len(KEYPOINTS))
    for frames in videos:
        for keypoint in range(len(KEYPOINTS)):
            events = motmetrics.MOTAccumulator(auto_id=True)
            for frame in frames[:-1] or frames:
                events.update(*_compare(frame, keypoint))
            if not frames:
                continue
            computed = motmetrics.metrics.create().compute(events, metrics=names, return_dataframe=False)
            counts[keypoint] += [computed[name] for name in names]
            matched = events.mot_events
            off[keypoint] += matched.loc[matched["Type"].isin(["MATCH", "SWITCH"]), "D"].sum()
    misses, switches, false, people, hits = counts.T
    with np.errstate(divide="ignore", invalid="ignore"):
        mota = np.where(people > 0, 100 * (1 - (misses + switches + false) / people), np.nan)
        motp = np.where(hits > 0, 100 * (1 - off / hits), 0.0)
        precision = np.where(hits + false > 0, 100 * hits / (hits + false), np.nan)
        recall = np.where(people > 0, 100 * hits / people, np.nan)
    places = {name: [KEYPOINTS.index(keypoint) for keypoint in group] for name, group in GROUPS.items()}
    result = {name: float(mota[rows].mean()) for name, rows in places.items()}
    whole = {"Total": mota, "MOTP": motp, "precision": precision, "recall": recall}
    return result | {name: _mean(values) for name, values in whole.items()}


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _compare(frame: PoseFrame, keypoint: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The annotated and the found people with this keypoint, and distances in head sizes, NaN if too far."""
    if not len(frame.truth.ids) or not len(frame.found.ids):
        return np.zeros(1, np.int64), np.zeros(1, np.int64), np.full((1, 1), np.nan)
    truth, found = frame.truth.there[:, keypoint], frame.found.there[:, keypoint]
    a, b = frame.truth.keypoints[truth, keypoint], frame.found.keypoints[found, keypoint]
    distances = np.linalg.norm(a[:, None] - b, axis=2) / frame.head_sizes[truth, None]
    distances[distances > _THRESHOLD] = np.nan
    return frame.truth.ids[truth], frame.found.ids[found], distances
