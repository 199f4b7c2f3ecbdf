"""COCO's results format, checked as it is read."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ppose.errors import DataError
from ppose.files import read_json


def read_detections(
    path: str | Path, images: Mapping[Any, Any], images_file: str | Path
) -> list[dict[str, Any]]:
    """Boxes of a file in COCO's results format: image_id, category_id, bbox (x, y, w, h), score.

    Raises DataError for another form and for boxes of images that are not in ``images`` (by id).
    """
    content = read_json(path, "detection file (bbox_file)")
    if not isinstance(content, list):
        raise DataError(
            f"{path}: expected COCO's results format, a list of {{image_id, category_id, bbox, score}}"
        )
    for index, box in enumerate(content):
        entry = f"{path}: [{index}]"
        _require(box, ("image_id", "bbox", "score"), entry)
        if not _are_numbers(box["bbox"], 4) or not _are_numbers([box["score"]], 1):
            raise DataError(f"{entry}: expected bbox [x, y, width, height] and a score, in numbers")
    _check_ids([box["image_id"] for box in content], str(path))
    strangers = {box["image_id"] for box in content} - images.keys()
    if strangers:
        example = min(strangers, key=str)
        raise DataError(
            f"{path}: {len(strangers)} of its images, such as {example}, are not in {images_file}"
        )
    return content


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
