"""The image files that a command is given, and the people's boxes in them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ppose.annotations import match_key, read_images
from ppose.errors import DataError
from ppose.files import read_json
from ppose.geometry import bbox_xywh_to_xyxy

_logger = logging.getLogger(__name__)

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def list_images(folder: str | Path) -> list[Path]:
    """The image files directly in a folder, by name; DataError where there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"image folder not found: {folder}")
    files = sorted(
        file for file in folder.iterdir() if file.suffix.lower() in IMAGE_ENDINGS and file.is_file()
    )
    if not files:
        raise DataError(f"no image in {folder} (looked for {', '.join(IMAGE_ENDINGS)})")
    return files


def read_boxes(path: str | Path, image_files: Sequence[Path]) -> list[np.ndarray]:
    """bboxes_xyxy (N, 4) for each image, from a JSON list of {"image" or "image_id", "bbox"}; that is xywh.

    ``image`` is a file's name; an ``image_id`` belongs to the file whose name is that number, as COCO's are.
    A COCO annotation file will do as well: its people's boxes. Images that the file does not name get none.
    Raises DataError for another form, and where not one usable box is of the given images; those that are of
    none, or smaller than a pixel, are counted in a warning.
    """
    entries = read_json(path, "box file")
    if isinstance(entries, dict):
        images, _ = read_images(entries, str(path))
        files = {key: images.file_names[row] for key, row in images.index().items()}
        given = entries.get("annotations")
        people = [p for p in given if isinstance(p, dict)] if isinstance(given, list) else []
        entries = ({**p, "image": files.get(match_key(p.get("image_id", "")), "")} for p in people)
    try:
        named = [(_image_of(entry), _read_box(entry["bbox"])) for entry in entries]
    except (ValueError, KeyError, TypeError, OverflowError):
        raise DataError(
            f'{path}: expected a JSON list of {{"image": "name.jpg", "bbox": [x, y, width, height]}}, '
            'or with "image_id" in place of "image"'
        ) from None
    boxes: dict[str | int, list[np.ndarray]] = {}
    for name, box in named:
        if np.isfinite(box).all() and (box[2:] >= 1).all():
            boxes.setdefault(name, []).append(box)
    # A file without an ending has one name only, so that its boxes count once.
    names_of = [dict.fromkeys([f.name, int(f.stem) if f.stem.isdecimal() else f.stem]) for f in image_files]
    per_image = [[box for name in names for box in boxes.get(name, [])] for names in names_of]
    used = sum(map(len, per_image))
    if 0 < used < len(named):
        _logger.warning(
            "%s: %d of %d boxes are of no given image or smaller than a pixel",
            path,
            len(named) - used,
            len(named),
        )
    if not used:
        raise DataError(
            f"{path}: none of its boxes is of the given images, such as {image_files[0].name}, and of a "
            "pixel or more (bbox is in pixels: x, y, width, height)"
        )
    return [bbox_xywh_to_xyxy(np.reshape(of_image, (-1, 4))) for of_image in per_image]


def _read_box(bbox: Any) -> np.ndarray:
    box = np.array(bbox, np.float64)
    if box.shape != (4,):
        raise ValueError("not four numbers")
    return box


def _image_of(entry: dict[str, Any]) -> str | int:
    return Path(entry["image"]).name if "image" in entry else int(entry["image_id"])
