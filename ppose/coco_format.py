"""COCO's annotation and results formats, checked as they are read: for datasets and metrics alike."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ppose.errors import DataError
from ppose.keypoints import KeypointSet

PERSON = 1  # the category of people in COCO, and in what is written here

# A person's share of its box where annotations have no area, as in xtcocotools (its use_area=False).
_AREA_OF_BOX = 0.53


def read_images(content: Any, where: str) -> dict[Any, dict[str, Any]]:
    """The images of an annotation file's content by their id; DataError where one lacks what is needed."""
    images = _index_images(content, ("id", "file_name", "width", "height"), where)
    for index, image in enumerate(images.values()):
        size = [image["width"], image["height"]]
        if not isinstance(image["file_name"], str) or not _are_numbers(size, 2) or min(size) < 1:
            raise DataError(f"{where}: images[{index}]: expected a file_name, and width and height in pixels")
    return images


def _index_images(content: Any, keys: Sequence[str], where: str) -> dict[Any, dict[str, Any]]:
    images = content.get("images") if isinstance(content, Mapping) else None
    if not isinstance(images, list):
        raise DataError(f"{where}: not a COCO annotation file: it has no list 'images'")
    for index, image in enumerate(images):
        _require(image, keys, f"{where}: images[{index}]")
    _check_ids([image["id"] for image in images], f"{where}: images")
    return {image["id"]: image for image in images}


def read_people(content: Any, keypoint_set: KeypointSet, where: str) -> list[dict[str, Any]]:
    """The people of an annotation file's content, those without labelled keypoints and crowds too.

    People are the annotations of the one category that has keypoints, or of the one named `person` where
    several have. Each comes with image_id, bbox (x, y, w, h), keypoints (3 K numbers, 0 where it has none),
    num_keypoints, area and iscrowd; what the file leaves out is filled in: num_keypoints by counting, area
    as 0.53 of the box. Raises DataError that names the entry which is wrong.
    """
    images = _index_images(content, ("id",), where)
    annotations = content.get("annotations") or []
    if not isinstance(annotations, list):
        raise DataError(f"{where}: 'annotations' is not a list")
    for index, annotation in enumerate(annotations):
        _require(annotation, (), f"{where}: annotations[{index}]")
    kind = _person_category(content, annotations, where)
    people = [a for a in annotations if a.get("category_id") == kind]
    return [_checked_person(person, images, keypoint_set, where) for person in people]


def _person_category(content: Mapping[str, Any], annotations: Sequence[Mapping], where: str) -> Any:
    kinds = {
        str(a.get("category_id")): a.get("category_id") for a in annotations if a.get("keypoints") is not None
    }
    if not kinds:
        raise DataError(
            f"{where}: no annotation has keypoints; is it the person_keypoints file? "
            "An image list works with detected boxes (use_gt_bbox: false)"
        )
    if len(kinds) > 1:
        categories = content.get("categories") or []
        named = [c.get("id") for c in categories if isinstance(c, Mapping) and c.get("name") == "person"]
        kinds = {key: kind for key, kind in kinds.items() if kind in named} or kinds
    if len(kinds) > 1:
        raise DataError(
            f"{where}: several categories have keypoints: {', '.join(sorted(kinds))}; keep one of them"
        )
    return next(iter(kinds.values()))


def _checked_person(
    person: Mapping[str, Any], images: Mapping, keypoint_set: KeypointSet, where: str
) -> dict[str, Any]:
    entry = f"{where}: annotation {person.get('id')}"
    _require(person, ("image_id", "bbox"), entry)
    length = 3 * keypoint_set.num_keypoints
    keypoints = person.get("keypoints")
    if keypoints is None:
        keypoints = [0] * length
    if isinstance(keypoints, list) and len(keypoints) != length:
        raise DataError(
            f"{entry} has {len(keypoints) / 3:g} keypoints, the keypoint set '{keypoint_set.name}' has "
            f"{keypoint_set.num_keypoints}: list the file's keypoints, in its order, as names in the "
            "config's KeypointSet block, and set num_joints to their number"
        )
    if isinstance(person["image_id"], list | dict) or person["image_id"] not in images:
        raise DataError(f"{entry} is of image {person['image_id']}, which is not listed")
    if not _are_numbers(person["bbox"], 4):
        raise DataError(f"{entry}: bbox is {person['bbox']!r}, expected [x, y, width, height]")
    if not _are_numbers(keypoints, length):
        raise DataError(f"{entry}: keypoints are not {length} numbers: x, y and visibility of each")
    area = person.get("area")
    if area is None:
        area = person["bbox"][2] * person["bbox"][3] * _AREA_OF_BOX
    if not _are_numbers([area], 1):
        raise DataError(f"{entry}: area is {area!r}, expected a number")
    return {
        "image_id": person["image_id"],
        "bbox": person["bbox"],
        "keypoints": keypoints,
        "num_keypoints": sum(flag > 0 for flag in keypoints[2::3]),
        "area": area,
        "iscrowd": int(bool(person.get("iscrowd"))),
    }


def _require(entry: Any, keys: Sequence[str], where: str) -> None:
    if not isinstance(entry, Mapping):
        raise DataError(f"{where}: got {entry!r}, expected an object in braces")
    missing = [key for key in keys if key not in entry]
    if missing:
        raise DataError(f"{where}: has no {', '.join(missing)}")


def _are_numbers(values: Any, count: int) -> bool:
    """Whether it is a list of that many finite numbers."""
    if not isinstance(values, list) or len(values) != count:
        return False
    return all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)


def _check_ids(ids: Sequence[Any], where: str) -> None:
    """Ids are numbers throughout, or texts throughout: else no two files would agree on them."""
    if not (all(isinstance(i, int) for i in ids) or all(isinstance(i, str) for i in ids)):
        strange = next((i for i in ids if not isinstance(i, int)), None)
        raise DataError(f"{where}: image ids are not all numbers, nor all texts: {strange!r}")
