"""The image files that a command is given, and the people's boxes in them."""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from ppose.boxes import DET_THRESHOLD, read_people_boxes
from ppose.errors import DataError
from ppose.geometry import bbox_xywh_to_xyxy
from ppose.paths import show_name

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


def find_image(folder: Path, name: str) -> Path:
    """The file in ``folder`` that annotations call ``name``.

    Where there is none, that of the name with its accents in the other of Unicode's forms (macOS writes them
    apart), or with `/` for the `\\` of Windows.
    """
    file = folder / name
    if ("\\" not in name and name.isascii()) or os.path.exists(file):
        return file
    slashed = name.replace("\\", "/")
    forms = (slashed, *(unicodedata.normalize(form, slashed) for form in ("NFC", "NFD")))
    return next((folder / form for form in forms if os.path.exists(folder / form)), file)


def find_image_folder(annotations: Path) -> Path:
    """images/ beside an annotation file or above its folder, as in COCO's layout; else its folder."""
    beside = (annotations.parent / "images", annotations.parent.parent / "images")
    return next((folder for folder in beside if folder.is_dir()), annotations.parent)


def _is_image(file: Path) -> bool:
    is_there = file.is_file() or (file.is_symlink() and not file.exists())
    # macOS keeps what it knows of a.jpg in ._a.jpg, where it writes to other systems and archives.
    return is_there and is_image_name(file.name) and not file.name.startswith("._")


def is_image_name(name: str) -> bool:
    """Whether a file with this name is meant to be an image, be it one that nothing here reads."""
    return PurePath(name).suffix.lower() in IMAGE_ENDINGS + _UNREAD_ENDINGS


def read_boxes_and_sizes(
    path: str | Path,
    images: Sequence[Path | str],
    *,
    classes: Sequence[int | str] | None = None,
    threshold: float = DET_THRESHOLD,
) -> tuple[list[np.ndarray], list[tuple[int, int]]]:
    """bboxes_xyxy (N, 4) for each image of a box file, none for those that it does not name; and its size.

    Of paths the base name counts; texts may have folders in them. Sizes are width and height as box files say
    that are COCO annotations; (0, 0) where they do not. Everything else is as in `read_people_boxes`.
    """
    names = [image.name if isinstance(image, Path) else image for image in images]
    found = read_people_boxes(path, names, classes=classes, threshold=threshold)
    order = np.argsort(found.rows, kind="stable")
    ends = np.searchsorted(found.rows[order], np.arange(1, len(names)))
    return np.split(bbox_xywh_to_xyxy(found.bboxes_xywh[order]), ends), found.sizes
