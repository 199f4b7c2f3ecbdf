"""Reads PoseTrack18's files as tracks, with head sizes and ignored regions."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ppose.annotations import read_annotations
from ppose.annotations.guess import guess_keypoint_set
from ppose.annotations.numbers import read_plain_row
from ppose.errors import DataError
from ppose.files import read_json
from ppose.formats.tracks import Tracks, make_tracks
from ppose.geometry import bbox_xywh_to_xyxy
from ppose.paths import show_name

_HEAD = 0.6  # head size as a share of the head box's diagonal, as in MPII and PoseTrack


def read_posetrack_tracks(path: Path) -> dict[str, Tracks]:
    """The tracks of each video of a file; frames are its images in the order of the file.

    A video is named after the folder of its images, or the file if there is no folder. Keypoints have their
    visibility as score, at least 1 if they are not at 0, 0, as in the official evaluation. Frames without
    people, of which PoseTrack18 has many, are not annotated. Raises DataError if a person has no track_id.
    """
    where = show_name(path)
    content = read_json(path, "file of tracks")
    if not isinstance(content, Mapping):
        raise DataError(f"{where}: not PoseTrack18's: expected an object in braces")
    known = guess_keypoint_set(content, where)
    annotations = read_annotations(content, known, needs_people=False, where=where)
    entries = {str(entry.get("id")): entry for entry in content.get("annotations") or []}
    people, images = annotations.people, content["images"]
    names = [PurePosixPath(name).parent.name or path.stem for name in annotations.images.file_names]
    videos: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        videos.setdefault(name, []).append(row)
    result = {}
    for name, rows in videos.items():
        frame_of = {row: frame for frame, row in enumerate(rows)}
        ours = (
            [] if people is None else [i for i, row in enumerate(people.images.tolist()) if row in frame_of]
        )
        columns: dict[str, Any] = {"frames": [], "tracks": [], "bboxes_xywh": [], "head_sizes": []}
        keypoints = np.zeros((len(ours), known.num_keypoints, 3))
        if people is not None:
            lost = [str(people.ids[i]) for i in ours if people.tracks[i] < 0]
            if lost:
                raise DataError(f"{where}: annotation {lost[0]} has no track_id")
            columns["frames"] = [frame_of[row] for row in people.images[ours].tolist()]
            columns["tracks"], columns["bboxes_xywh"] = people.tracks[ours], people.bboxes_xywh[ours]
            columns["head_sizes"] = [_head_size(entries.get(str(i), {}), where) for i in people.ids[ours]]
            keypoints[..., :2], keypoints[..., 2] = people.keypoints[ours], people.visibility[ours]
            keypoints[..., 2] = np.maximum(keypoints[..., 2], keypoints[..., :2].any(axis=2))
        ignored = {frame: _read_regions(images[row], where) for row, frame in frame_of.items()}
        result[name] = make_tracks(
            where, {**columns, "keypoints": keypoints}, known.names,
            annotated=np.unique(np.asarray(columns["frames"], np.int64)),
            ignored={frame: regions for frame, regions in ignored.items() if regions},
        )  # fmt: skip
    return result


def _head_size(entry: Mapping[str, Any], where: str) -> float:
    box = entry.get("bbox_head")
    if not box:
        return float("nan")
    problem = f"{where}: annotation {entry.get('id')}: bbox_head is not x, y, width, height"
    left, top, right, bottom = bbox_xywh_to_xyxy(read_plain_row(box, 4, problem)).tolist()
    return float(_HEAD * np.hypot(right - left, bottom - top))


def _read_regions(image: Mapping[str, Any], where: str) -> list[np.ndarray]:
    x, y = image.get("ignore_regions_x") or [], image.get("ignore_regions_y") or []
    try:
        regions = [np.array([a, b], np.float64).T for a, b in zip(x, y, strict=True)]
    except (ValueError, TypeError):
        regions = [np.zeros(0)]
    if any(region.ndim != 2 for region in regions):
        raise DataError(f"{where}: ignore_regions_x and _y of {image.get('file_name')!r} differ in length")
    return regions
