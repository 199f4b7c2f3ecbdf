"""The image files that a command is given, and the people's boxes in them."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ppose.coco_format import read_images
from ppose.errors import DataError
from ppose.files import read_json
from ppose.geometry import bbox_xywh_to_xyxy
from ppose.paths import show_name

_logger = logging.getLogger(__name__)

IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".jp2", ".avif",
    ".pbm", ".pgm", ".ppm", ".heic", ".heif", ".hif",
)  # fmt: skip
# Of pictures that nothing here reads: they are no images to work on, but nobody is to miss them unknowingly.
_UNREAD_ENDINGS = (
    ".jxl", ".psd", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf",
)  # fmt: skip


def list_images(folder: str | Path) -> list[Path]:
    """The image files directly in a folder, by name; DataError where there is none.

    Files are images by their ending, also those that will turn out to be unreadable, and links to nothing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"image folder not found: {show_name(folder)}")
    files = sorted(file for file in folder.iterdir() if _is_image(file))
    if not files:
        raise DataError(f"no image in {show_name(folder)} (looked for {', '.join(IMAGE_ENDINGS)})")
    return files


def _is_image(file: Path) -> bool:
    is_there = file.is_file() or (file.is_symlink() and not file.exists())
    return is_there and file.suffix.lower() in IMAGE_ENDINGS + _UNREAD_ENDINGS


def read_boxes(path: str | Path, image_files: Sequence[Path]) -> list[np.ndarray]:
    """bboxes_xyxy (N, 4) for each image, from a JSON list of {"image" or "image_id", "bbox"}; that is xywh.

    ``image`` is a file's name; an ``image_id`` belongs to the file whose name is that number, as COCO's are.
    A COCO annotation file will do as well: its people's boxes. Images that the file does not name get none.
    Raises DataError for another form, and where not one usable box is of the given images; those that are of
    none, or smaller than a pixel, are counted in a warning.
    """
    entries = read_json(path, "box file")
    if isinstance(entries, dict):
        files = {image["id"]: image["file_name"] for image in read_images(entries, str(path)).values()}
        given = entries.get("annotations")
        people = [p for p in given if isinstance(p, dict)] if isinstance(given, list) else []
        entries = ({**person, "image": files.get(person.get("image_id"), "")} for person in people)
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
