"""Compares found tracks with annotated ones: MOTA, IDF1, HOTA of people, PoseTrack's MOTA of keypoints."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ppose.annotations.columns import AREA_OF_BOX
from ppose.commandline import align_columns
from ppose.errors import DataError
from ppose.formats.tracks import Tracks
from ppose.geometry import bbox_xywh_to_xyxy
from ppose.keypoints import get_keypoint_set
from ppose.keypoints.keypoint_set import DEFAULT_SIGMA
from ppose.metrics.hota import TrackedFrame
from ppose.metrics.iou import ious
from ppose.metrics.oks import similarity as keypoint_similarity
from ppose.metrics.posetrack import KEYPOINTS, PoseFrame, TrackedPoses, score_keypoint_tracks
from ppose.metrics.track_scores import score_tracks
from ppose.paths import show_name

Similarity = Literal["oks", "iou"]

_logger = logging.getLogger(__name__)

_SIGMAS = {
    name: sigma
    for known in map(get_keypoint_set, ("posetrack18", "coco17"))
    for name, sigma in zip(known.names, known.sigmas, strict=True)
}


@dataclass(frozen=True, eq=False)
class TrackedVideo:
    """Annotated and found tracks of one video; ``frames`` are the evaluated frames."""

    truth: Tracks
    found: Tracks
    frames: np.ndarray


def pair_videos(
    truth: Mapping[str, Tracks], found: Mapping[str, Tracks], threshold: float
) -> list[TrackedVideo]:
    """Pair each annotated video with its tracks, without the parts that do not count.

    These are frames without annotation, and keypoints in ignored regions. Keypoints with a score below
    ``threshold`` count as not found. If there is one video on each side, their names need not agree. Raises
    DataError if an annotated video has no tracks; a warning counts videos that are not annotated.
    """
    if len(truth) == len(found) == 1:
        found = dict(zip(truth, found.values(), strict=True))
    if missing := [name for name in truth if name not in found]:
        raise DataError(
            f"{len(missing)} of {len(truth)} videos have no tracks: {show_name(missing[0])}; "
            f"found tracks of {', '.join(map(show_name, list(found)[:3])) or 'no video'}"
        )
    if strange := [name for name in found if name not in truth]:
        _logger.warning(
            "%d videos are not annotated and do not count, such as %s", len(strange), show_name(strange[0])
        )
    return [_pair(truth[name], found[name], threshold) for name in truth]


def _pair(truth: Tracks, found: Tracks, threshold: float) -> TrackedVideo:
    frames = truth.annotated
    if frames is None:
        last = max((int(tracks.frames.max()) for tracks in (truth, found) if len(tracks)), default=-1)
        frames = np.arange(last + 1)
    points = found.keypoints.copy()
    points[points[..., 2] < threshold] = 0
    found = replace(found, keypoints=points)
    return TrackedVideo(_leave_out(truth, truth.ignored), _leave_out(found, truth.ignored), frames)


def _leave_out(tracks: Tracks, ignored: Mapping[int, list[np.ndarray]]) -> Tracks:
    """Drop keypoints in ignored regions, and people who have no others."""
    keypoints, keep = tracks.keypoints.copy(), np.ones(len(tracks), bool)
    for row in np.flatnonzero(np.isin(tracks.frames, list(ignored))):
        regions = ignored[int(tracks.frames[row])]
        if not tracks.names:
            box = tracks.bboxes_xywh[row]
            keep[row] = not _are_inside((box[:2] + box[2:] / 2)[None], regions).any()
            continue
        keypoints[row, _are_inside(keypoints[row, :, :2], regions)] = 0
        keep[row] = keypoints[row, :, 2].any()
    rows = np.flatnonzero(keep)
    columns = {
        name: getattr(tracks, name)[rows]
        for name in ("frames", "tracks", "bboxes_xywh", "scores", "is_filled", "head_sizes")
    }
    return replace(tracks, **columns, keypoints=keypoints[rows])


def _are_inside(points: np.ndarray, regions: Sequence[np.ndarray]) -> np.ndarray:
    """Which points (N, 2) are in one of the polygons (V, 2), by the crossings of a ray to the right."""
    inside = np.zeros(len(points), bool)
    x, y = points.T[..., None]
    for region in regions:
        (x1, y1), (x2, y2) = region.T, np.roll(region, -1, axis=0).T
        is_between = (y1 > y) != (y2 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = x1 + (y - y1) * (x2 - x1) / (y2 - y1)
        inside |= (is_between & (x < crossing)).sum(axis=1) % 2 == 1
    return inside


def evaluate_people(videos: Sequence[TrackedVideo], similarity: Similarity) -> dict[str, float]:
    """`score_tracks` of all videos; pairs with a similarity of 0.5 or more may match.

    OKS is the mean over a person's annotated keypoints; one that was not found counts 0. It uses the sigmas
    of COCO and PoseTrack18 and 0.53 of the box as area. People without annotated keypoints are compared by
    IoU.
    """
    frames = []
    for number, video in enumerate(videos):
        first = number << 40  # makes ids unique over all videos
        truth, found = (_by_frame(tracks, video.frames) for tracks in (video.truth, video.found))
        for a, b in zip(truth, found, strict=True):
            alike = _compare(video, a, b, similarity)
            frames.append(TrackedFrame(video.truth.tracks[a] + first, video.found.tracks[b] + first, alike))
    return score_tracks(frames)


def _by_frame(tracks: Tracks, frames: np.ndarray) -> list[np.ndarray]:
    rows = tracks.by_frame(int(frames.max()) + 1 if len(frames) else 0)
    return [rows[frame] for frame in frames.tolist()]


def _compare(video: TrackedVideo, a: np.ndarray, b: np.ndarray, similarity: Similarity) -> np.ndarray:
    truth, found = video.truth, video.found
    boxes = ious(bbox_xywh_to_xyxy(truth.bboxes_xywh[a]), bbox_xywh_to_xyxy(found.bboxes_xywh[b]))
    if similarity == "iou" or not truth.names:
        return boxes
    names, sigmas = _shared_keypoints(truth, found)
    ours, theirs = truth.keypoints[a][:, names[0]], found.keypoints[b][:, names[1]]
    squared = ((ours[:, None, :, :2] - theirs[None, :, :, :2]) ** 2).sum(axis=3)
    areas = AREA_OF_BOX * truth.bboxes_xywh[a, 2:].prod(axis=1)[:, None]
    alike = keypoint_similarity(squared, areas, sigmas) * (theirs[..., 2] > 0)
    labelled = ours[..., 2] > 0
    count = labelled.sum(axis=1)[:, None]
    points = (alike * labelled[:, None]).sum(axis=2) / np.maximum(count, 1)
    return np.where(count > 0, points, boxes)


def _shared_keypoints(truth: Tracks, found: Tracks) -> tuple[tuple[list[int], list[int]], np.ndarray]:
    """The indexes of the annotated keypoints in both, and their sigmas: COCO's for that name, or 0.05."""
    names = [name for name in truth.names if name in found.names]
    if not names:
        raise DataError(
            f"no keypoint is in both: annotated are {', '.join(truth.names)}; "
            f"found are {', '.join(found.names) or 'none'} (--similarity iou compares boxes)"
        )
    sigmas = np.array([_SIGMAS.get(name, DEFAULT_SIGMA) for name in names])
    return ([truth.names.index(name) for name in names], [found.names.index(name) for name in names]), sigmas


def evaluate_keypoints(videos: Sequence[TrackedVideo]) -> dict[str, float] | None:
    """PoseTrack's MOTA, see `score_keypoint_tracks`; None if no head sizes are annotated.

    Keypoints that the tracks do not have at all count as missed, and a warning names them.
    """
    if not any(np.isfinite(video.truth.head_sizes).any() for video in videos):
        return None
    missing = {name for video in videos for name in KEYPOINTS if name not in video.found.names}
    if missing:
        _logger.warning("the tracks have no %s: these count as missed", ", ".join(sorted(missing)))
    return score_keypoint_tracks([_pose_frames(video) for video in videos])


def _pose_frames(video: TrackedVideo) -> list[PoseFrame]:
    (truth, of_truth), (found, of_found) = (
        (_in_posetrack_order(tracks), _by_frame(tracks, video.frames))
        for tracks in (video.truth, video.found)
    )
    return [
        PoseFrame(
            TrackedPoses(video.truth.tracks[a], truth[a, :, :2], truth[a, :, 2] > 0),
            video.truth.head_sizes[a],
            TrackedPoses(video.found.tracks[b], found[b, :, :2], found[b, :, 2] > 0),
        )
        for a, b in zip(of_truth, of_found, strict=True)
    ]


def _in_posetrack_order(tracks: Tracks) -> np.ndarray:
    """The keypoints (N, 15, 3) of `KEYPOINTS`, 0 if the tracks have none of that name."""
    points = np.zeros((len(tracks), len(KEYPOINTS), 3))
    for place, name in enumerate(KEYPOINTS):
        if name in tracks.names:
            points[:, place] = tracks.keypoints[:, tracks.names.index(name)]
    return points


def format_scores(
    count: int, similarity: Similarity, people: Mapping[str, float], keypoints: Mapping[str, float] | None
) -> str:
    """The figures of ``count`` videos for a terminal: shares in percent, and counts."""
    shares = ("MOTA", "IDF1", "HOTA", "DetA", "AssA")
    shown = {name: f"{100 * people[name]:.1f}" for name in shares}
    shown |= {name: f"{value:.0f}" for name, value in people.items() if name not in shares}
    lines = [f"videos: {count}; people matched by {'OKS' if similarity == 'oks' else 'IoU'} >= 0.5"]
    lines += align_columns([list(shown), list(shown.values())])
    if keypoints is not None:
        lines += ["keypoints (PoseTrack): MOTA, then MOTP, precision and recall over all"]
        lines += align_columns([list(keypoints), [f"{value:.1f}" for value in keypoints.values()]])
    return "\n".join(lines)
