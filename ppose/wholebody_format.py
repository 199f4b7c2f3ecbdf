"""Converts COCO-WholeBody (Jin et al., ECCV 2020) to COCO's format: whole bodies, hands or faces as people.

Its files extend COCO's annotations by `foot_kpts`, `face_kpts`, `lefthand_kpts`, `righthand_kpts` (x, y,
visibility of each), boxes of the parts (`face_box`, ..), and flags of their quality (`face_valid`, ..).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ppose.errors import DataError

_PARTS = ("keypoints", "foot_kpts", "face_kpts", "lefthand_kpts", "righthand_kpts")
# Drops the keypoint names, which the file has for the body only.
_CATEGORIES = [{"id": 1, "name": "person"}]


def join_parts(content: Any, where: str) -> dict[str, Any]:
    """The content of a file with each person's 133 keypoints in `keypoints`, for the set wholebody133."""
    people = []
    for person in _annotations(content, where):
        keypoints = [value for part in _PARTS for value in _get_list(person, part, where)]
        joined = {**person, "category_id": 1, "keypoints": keypoints}
        joined.pop("num_keypoints", None)  # the body's
        people.append(joined)
    return {**content, "annotations": people, "categories": _CATEGORIES}


def take_hands(content: Any, where: str) -> dict[str, Any]:
    """The content of a file with one person per valid hand, left before right, for the set hand21."""
    return _take(content, ("lefthand", "righthand"), where)


def take_faces(content: Any, where: str) -> dict[str, Any]:
    """The content of a file with one person per valid face, for the set face68."""
    return _take(content, ("face",), where)


def _take(content: Any, parts: Sequence[str], where: str) -> dict[str, Any]:
    taken: list[dict[str, Any]] = []
    people = _annotations(content, where)
    for number, person in enumerate(people):
        for part in parts:
            keypoints = _get_list(person, f"{part}_kpts", where)
            if not _get(person, f"{part}_valid", where) or not any(map(_is_above_zero, keypoints)):
                continue
            taken.append(
                {
                    "id": f"{person.get('id', number)} {part}",  # named so in messages
                    "image_id": _get(person, "image_id", where),
                    "category_id": 1,
                    "bbox": _get_list(person, f"{part}_box", where)[:4],
                    "keypoints": keypoints,
                    "iscrowd": person.get("iscrowd", 0),
                }
            )
    if people and not taken:
        raise DataError(f"{where}: none of its {len(people)} annotations has a valid {' or '.join(parts)}")
    return {**content, "annotations": taken, "categories": _CATEGORIES}


def _annotations(content: Any, where: str) -> Sequence[Mapping[str, Any]]:
    annotations = content.get("annotations") if isinstance(content, Mapping) else None
    if not isinstance(annotations, list) or not all(isinstance(person, Mapping) for person in annotations):
        raise DataError(f"{where}: not a COCO-WholeBody file: it has no list 'annotations'")
    return annotations


def _get(person: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in person:
        raise DataError(f"{where}: annotation {person.get('id')}: has no {key}; is it a COCO-WholeBody file?")
    return person[key]


def _get_list(person: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = _get(person, key, where)
    if not isinstance(value, list):
        raise DataError(f"{where}: annotation {person.get('id')}: {key} is {value!r}, expected numbers")
    return value


def _is_above_zero(value: Any) -> bool:
    """Whether a value is above 0; non-numbers pass, since the reader of people reports them."""
    return value is not None and (not isinstance(value, int | float) or value > 0)
