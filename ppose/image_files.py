"""The image files that a command is given, and the people's boxes in them."""

import logging
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from ppose.boxes import DET_THRESHOLD, read_people_boxes
from ppose.errors import DataError
from ppose.geometry import bbox_xywh_to_xyxy
from ppose.paths import show_name

_logger = logging.getLogger(__name__)

IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".jp2", ".avif",
    ".pbm", ".pgm", ".ppm", ".heic", ".heif", ".hif",
)  # fmt: skip
# Picture formats that nothing here reads: they are skipped, but never silently.
_UNREAD_ENDINGS = (
    ".jxl", ".psd", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf",
)  # fmt: skip
_VIDEO_ENDINGS = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".3gp",
    ".mts", ".m2ts", ".vob", ".asf", ".ogv", ".mxf", ".3g2",
)  # fmt: skip


def list_images(folder: str | Path) -> list[Path]:
    """The image files directly in a folder, sorted by name; DataError if there is none.

    The ending alone makes a file an image, so unreadable files and dead links are among them.
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

    If there is none, it tries the name with accents in the other Unicode form (macOS writes them separately),
    or with `/` for the `\\` of Windows.
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
    return is_there and is_image_name(file.name)


def is_image_name(name: str) -> bool:
    """Whether a file with this name is meant to be an image, readable here or not."""
    path = PurePath(name)
    return path.suffix.lower() in IMAGE_ENDINGS + _UNREAD_ENDINGS and not is_of_macos(name)


def is_video_name(name: str) -> bool:
    """Whether a file with this name is meant to be a video."""
    return PurePath(name).suffix.lower() in _VIDEO_ENDINGS and not is_of_macos(name)


def warn_of_videos(folder: Path | None) -> None:
    """Log a warning if there are videos directly in a folder of images."""
    files = folder.iterdir() if folder is not None and folder.is_dir() else ()
    if count := sum(is_video_name(file.name) for file in files):
        _logger.warning("%s: left out %d videos: name each as --video_file", show_name(folder or ""), count)


def is_of_macos(name: str) -> bool:
    """Whether it is metadata: macOS writes that of a.jpg to ._a.jpg on other file systems and in archives."""
    return PurePath(name).name.startswith("._")


def read_boxes_and_sizes(
    path: str | Path,
    images: Sequence[Path | str],
    *,
    classes: Sequence[int | str] | None = None,
    threshold: float = DET_THRESHOLD,
) -> tuple[list[np.ndarray], list[tuple[int, int]]]:
    """bboxes_xyxy (N, 4) for each image, empty if the box file does not name it; and the images' sizes.

    Paths are matched by base name; texts may have folders in them. Sizes are width and height as COCO
    annotations state them, else (0, 0). Everything else is as in `read_people_boxes`.
    """
    names = [image.name if isinstance(image, Path) else image for image in images]
    found = read_people_boxes(path, names, classes=classes, threshold=threshold)
    order = np.argsort(found.rows, kind="stable")
    ends = np.searchsorted(found.rows[order], np.arange(1, len(names)))
    return np.split(bbox_xywh_to_xyxy(found.bboxes_xywh[order]), ends), found.sizes
