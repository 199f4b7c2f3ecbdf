"""OpenPose's JSON: NAME_keypoints.json per image, with pose_keypoints_2d of each person."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppose.annotations.names import match_names
from ppose.errors import DataError
from ppose.files import read_json, write_json
from ppose.formats.labels import ContentBuilder, Labels, image_of_stem
from ppose.keypoints import KeypointSet

_ENDING = "_keypoints"
_SIDES = ("shoulder", "elbow", "wrist")
_LEGS = ("hip", "knee", "ankle")
_FACE = ("right_eye", "left_eye", "right_ear", "left_ear")
# The outputs of its models (CMU-Perceptual-Computing-Lab/openpose, doc/02_output.md).
_BODY25 = (
    *("nose", "neck", *(f"right_{n}" for n in _SIDES), *(f"left_{n}" for n in _SIDES), "mid_hip"),
    *(*(f"right_{n}" for n in _LEGS), *(f"left_{n}" for n in _LEGS), *_FACE),
    *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
)
_COCO18 = (
    *("nose", "neck", *(f"right_{n}" for n in _SIDES), *(f"left_{n}" for n in _SIDES)),
    *(*(f"right_{n}" for n in _LEGS), *(f"left_{n}" for n in _LEGS), *_FACE),
)
_MORE = {"face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d"}
_MIDDLES = {"neck": ("left_shoulder", "right_shoulder"), "mid_hip": ("left_hip", "right_hip")}


def read_openpose(path: Path, keypoint_set: KeypointSet | None, image_dir: Path | None) -> dict[str, Any]:
    """Read NAME_keypoints.json, a folder or one: keypoints of BODY_25, COCO, or the keypoint set.

    The images NAME.* are in ``image_dir``, or in the folder. A keypoint with a confidence above 0 is
    labelled; person_id is a track.
    """
    root, files = (path, sorted(path.rglob(f"*{_ENDING}.json"))) if path.is_dir() else (path.parent, [path])
    if not files:
        raise DataError(f"{path} has no NAME{_ENDING}.json: expected OpenPose's, one per image")
    builder = ContentBuilder()
    for file in files:
        content = read_json(file, "OpenPose file")
        if not isinstance(content, Mapping) or not isinstance(content.get("people"), list):
            raise DataError(f"{file}: not OpenPose's: it has no list 'people'")
        stem = file.stem.removesuffix(_ENDING)
        folder = file.parent.relative_to(root)
        name = image_of_stem((image_dir or root) / folder, stem)
        image = builder.add_image((folder / name).as_posix())
        for number, person in enumerate(content["people"]):
            where = f"{file}: people[{number}]"
            points = person.get("pose_keypoints_2d") if isinstance(person, Mapping) else None
            try:
                values = np.array(points, np.float64).reshape(-1, 3)
            except (TypeError, ValueError):
                raise DataError(f"{where}: pose_keypoints_2d is not x, y and confidence of each") from None
            for part in _MORE & {key for key in person if np.size(person[key])}:
                builder.count(f"people's {part} skipped")
            names = _find_names(len(values), keypoint_set, where)
            builder.add_names(names)
            labelled = {n: (x, y, 2) for n, (x, y, c) in zip(names, values.tolist(), strict=True) if c > 0}
            track = np.ravel(person.get("person_id", -1)).tolist()
            track_id = track[0] if track and type(track[0]) is int and track[0] >= 0 else None
            builder.add_person(image, labelled, track_id=track_id)
    return builder.finish()


def _find_names(count: int, keypoint_set: KeypointSet | None, where: str) -> tuple[str, ...]:
    if keypoint_set is not None and keypoint_set.num_keypoints == count:
        return keypoint_set.names
    known = {len(names): names for names in (_BODY25, _COCO18)}
    if count not in known:
        raise DataError(
            f"{where}: has {count} keypoints, expected 25 (BODY_25) or 18 (COCO), or a --keypoint_set"
        )
    return known[count]


def write_openpose(path: Path, labels: Labels) -> None:
    """Write NAME_keypoints.json per image to the folder ``path``, as BODY_25 if it has all these names.

    Neck and mid-hip are then the middles of shoulders and hips. Other sets keep their own order.
    """
    known = labels.keypoint_set
    is_body = known.names != _BODY25 and match_names(_BODY25, known) is not None
    names = _BODY25 if is_body else known.names
    for file, _, _, _, rows in labels.by_file(f"{_ENDING}.json"):
        people = []
        for row in rows:
            points = {point: (x, y) for point, x, y, _ in labels.points(row)}
            if is_body:
                points = _add_middles(points)
            flat = [value for n in names for value in ((*points[n], 1.0) if n in points else (0.0, 0.0, 0.0))]
            track = int(labels.people.tracks[row])
            people.append({"person_id": [track], "pose_keypoints_2d": flat})
        write_json(path / file, {"version": 1.3, "people": people})


def _add_middles(points: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    middles = {
        name: tuple(np.mean([points[a], points[b]], axis=0).tolist())
        for name, (a, b) in _MIDDLES.items()
        if a in points and b in points and name not in points
    }
    return points | middles
