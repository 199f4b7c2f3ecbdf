"""Tracks people from one frame to the next."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ppose.inference.one_euro import OneEuroFilter
from ppose.inference.poses import Pose
from ppose.inference.tracking.camera import find_shift
from ppose.inference.tracking.motion import Motion
from ppose.metrics.assignment import assign
from ppose.metrics.iou import ious
from ppose.metrics.oks import oks

Similarity = Literal["oks", "iou"]

# How long people may be out of sight; the short one is for people seen once, or back with a low score. In
# seconds and in frames; the longer counts, since some videos have one frame a second.
_PATIENCE, _SHORT_PATIENCE = (3.0, 2), (0.25, 2)
_SURE = 2  # sightings
# In nats, as `Motion.costs`: the largest cost of a match. New people have a density too.
_MOST, _MOST_LOW = 6.0, 1.0
_POSE_WEIGHT = 8.0  # nats for poses with an OKS of 0
_WIDER = 1.5  # factor of the sigmas, since people move their limbs between two frames
_LEAST_OVERLAP = 0.3  # IoU of a match at an unexpected place: the camera shakes, somebody turns round
_BODY = 0.35  # a person's area as a share of the square of the box's longer side


@dataclass
class _Track:
    number: int
    pose: Pose
    time: float
    frame: int
    sightings: int = 0
    smooth: OneEuroFilter = field(default_factory=OneEuroFilter)


class Tracker:
    """Gives people numbers that they keep, and smooths their keypoints if ``smooth`` is true.

    A constant velocity (`Motion`) predicts each track's box. The cost of matching a person with a track is
    the box's -log density and, unless ``similarity`` is iou, a term for the OKS of the poses, the track's
    moved to its predicted place. Each frame takes the set of pairs with the least cost, in four rounds:
    people from ``sure_score`` on with tracks; people with lower scores, who may be half hidden, with recent
    tracks (after Zhang et al., ByteTrack, ECCV 2022); remaining people with tracks seen once; and remaining
    people with recent boxes that they overlap. A remaining person with a high score begins a track, one with
    a low score is dropped. Who is out of sight for three seconds gets a new number. If most people are off
    by the same shift, the camera has moved (`find_shift`).
    """

    def __init__(
        self,
        sigmas: Sequence[float],
        *,
        similarity: Similarity = "oks",
        sure_score: float = 0.5,
        smooth: bool = False,
    ) -> None:
        self._sigmas, self._similarity, self._smooth = np.asarray(sigmas), similarity, smooth
        self._sure_score = sure_score
        self._tracks: list[_Track] = []
        self._motion = Motion.begin(np.zeros((0, 4)), np.zeros(0))
        self._next, self._time, self._frame = 1, 0.0, 0

    def update(
        self, poses: Sequence[Pose], time: float, box_scores: Sequence[float] | np.ndarray | None = None
    ) -> list[tuple[int, Pose]]:
        """The people of the next frame, at a time in seconds, with their numbers; in the order given.

        ``box_scores`` (N,) are a detector's; None counts as 1 for everybody.
        """
        scores = np.ones(len(poses)) if box_scores is None else np.asarray(box_scores, np.float64)
        boxes = np.array([pose.bbox_xyxy for pose in poses], np.float64).reshape(-1, 4)
        self._motion = self._motion.predict(max(time - self._time, 0.0))
        self._time, self._frame = time, self._frame + 1
        self._forget()
        self._follow_camera(boxes[scores >= self._sure_score])
        partners = self._pair(poses, boxes, scores)
        seen, rows = list(partners), list(partners.values())
        corrected = self._motion.take(rows).correct(boxes[seen], scores[seen])
        self._motion = self._motion.replace(rows, corrected)
        sure = np.flatnonzero(scores >= self._sure_score).tolist()
        new = [index for index in sure if index not in partners]
        self._motion = self._motion.join(Motion.begin(boxes[new], scores[new]))
        for index in new:
            partners[index] = len(self._tracks)
            self._tracks.append(_Track(self._next, poses[index], time, self._frame))
            self._next += 1
        return [self._see(self._tracks[partners[index]], poses[index]) for index in sorted(partners)]

    def _see(self, track: _Track, pose: Pose) -> tuple[int, Pose]:
        track.pose, track.time, track.frame = pose, self._time, self._frame
        track.sightings += 1
        if self._smooth:
            keypoints = track.smooth(pose.keypoints, self._time, person_size(pose.bbox_xyxy))
            pose = dataclasses.replace(pose, keypoints=keypoints)
        return track.number, pose

    def _follow_camera(self, boxes: np.ndarray) -> None:
        rows = [row for row, track in enumerate(self._tracks) if self._was_seen(track, *_SHORT_PATIENCE)]
        recent = self._motion.take(rows)
        found = (boxes[:, :2] + boxes[:, 2:]) / 2
        self._motion = self._motion.shift(find_shift(recent.centers, found, recent.sizes))

    def _forget(self) -> None:
        kept = [
            row
            for row, track in enumerate(self._tracks)
            if self._was_seen(track, *(_PATIENCE if track.sightings >= _SURE else _SHORT_PATIENCE))
        ]
        self._tracks, self._motion = [self._tracks[row] for row in kept], self._motion.take(kept)

    def _was_seen(self, track: _Track, seconds: float, frames: int) -> bool:
        return self._time - track.time <= seconds or self._frame - track.frame <= frames

    def _pair(self, poses: Sequence[Pose], boxes: np.ndarray, scores: np.ndarray) -> dict[int, int]:
        """The track's row for each matched person's index."""
        rows = range(len(self._tracks))
        sure = [row for row in rows if self._tracks[row].sightings >= _SURE]
        recent = [row for row in sure if self._was_seen(self._tracks[row], *_SHORT_PATIENCE)]
        high, low = np.flatnonzero(scores >= self._sure_score), np.flatnonzero(scores < self._sure_score)
        costs = self._costs(poses, boxes, scores)
        partners: dict[int, int] = {}
        for tracks, people, most in (
            (sure, high, _MOST),
            (recent, low, _MOST_LOW),
            ([row for row in rows if row not in sure], high, _MOST),
        ):
            left = [row for row in tracks if row not in partners.values()]
            unknown = [index for index in people.tolist() if index not in partners]
            pairs = assign(costs[np.ix_(left, unknown)], most)
            partners |= {unknown[column]: left[row] for row, column in pairs.tolist()}
        return partners | self._pair_by_overlap(partners, boxes, high)

    def _pair_by_overlap(
        self, partners: dict[int, int], boxes: np.ndarray, people: np.ndarray
    ) -> dict[int, int]:
        """Match remaining people with recent tracks that they overlap, and restart these tracks' motion."""
        taken = set(partners.values())
        left = [
            row
            for row, track in enumerate(self._tracks)
            if row not in taken and self._was_seen(track, *_SHORT_PATIENCE)
        ]
        unknown = [index for index in people.tolist() if index not in partners]
        last = np.array([self._tracks[row].pose.bbox_xyxy for row in left]).reshape(-1, 4)
        pairs = assign(-ious(last, boxes[unknown]), -_LEAST_OVERLAP)
        found = {unknown[column]: left[row] for row, column in pairs.tolist()}
        again = Motion.begin(boxes[list(found)], np.ones(len(found)))
        self._motion = self._motion.replace(list(found.values()), again)
        return found

    def _costs(self, poses: Sequence[Pose], boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """The cost (T, N) of matching people with tracks."""
        costs = self._motion.costs(boxes, scores)
        if self._similarity == "iou" or not costs.size:
            return costs
        before = np.array([track.pose.keypoints for track in self._tracks])
        last = np.array([track.pose.bbox_xyxy for track in self._tracks])
        moved = self._motion.centers - (last[:, :2] + last[:, 2:]) / 2
        now = np.array([pose.keypoints for pose in poses])
        areas = _BODY * self._motion.sizes[:, None] ** 2
        likeness = oks((before + moved[:, None])[:, None], now, areas, _WIDER * self._sigmas)
        return costs + _POSE_WEIGHT * (1 - likeness)


def person_size(bbox_xyxy: np.ndarray) -> float:
    """The side of a square with the box's area, in pixels, at least 1: boxes may have no width."""
    left, top, right, bottom = bbox_xyxy
    return max(float((right - left) * (bottom - top)), 1.0) ** 0.5
