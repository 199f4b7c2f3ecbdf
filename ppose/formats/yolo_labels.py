"""Ultralytics' pose labels: a text file per image, beside a folder of images."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ppose.errors import DataError
from ppose.image_files import list_images
from ppose.keypoints import KeypointSet
from ppose.paths import show_name
from ppose.transforms import read_image_size

_logger = logging.getLogger(__name__)

_MOST = 2.0  # largest number of a box, in image sizes
_CLASSES = "classes"  # file of class names, which labelling tools write beside the labels


def read_yolo_labels(folder: Path, image_folder: Path, keypoint_set: KeypointSet) -> dict[str, Any]:
    """A folder of labels as the content of a COCO file, for `read_annotations`.

    `a.txt` holds the people of `a.jpg`, one line each: class, the box's middle x, y, width and height, then x
    and y, or x, y and visibility, of each keypoint in the set's order; all as shares of the image's size as
    displayed (docs.ultralytics.com/datasets/pose). Images without labels are skipped; labels without an image
    too, with a warning. Raises DataError that names the wrong line.
    """
    images, annotations = [], []
    files = list_images(image_folder)
    known = {file.stem for file in files} | {_CLASSES}
    if strays := sorted(file.name for file in folder.glob("*.txt") if file.stem not in known):
        _logger.warning(
            "%s: %d files belong to no image in %s, such as %s",
            show_name(folder), len(strays), show_name(image_folder), show_name(strays[0]),
        )  # fmt: skip
    if bare := sum(not (folder / f"{file.stem}.txt").is_file() for file in files):
        _logger.info("%s: %d of %d images have no labels: skipped", show_name(folder), bare, len(files))
    for number, file in enumerate(files, start=1):
        labels = folder / f"{file.stem}.txt"
        if not labels.is_file():
            continue
        width, height = read_image_size(file)
        images.append({"id": number, "file_name": file.name, "width": width, "height": height})
        for row, values in enumerate(_read_lines(labels, keypoint_set.num_keypoints)):
            (x, y, w, h), points = values[1:5] * ([width, height] * 2), values[5:].reshape(-1, 3)
            annotations.append(
                {
                    "id": f"{file.stem}:{row + 1}", "image_id": number, "category_id": int(values[0]),
                    "bbox": [x - w / 2, y - h / 2, w, h],
                    "keypoints": (points * [width, height, 1]).ravel().tolist(),
                }
            )  # fmt: skip
    if not images:
        raise DataError(
            f"{show_name(folder)}: no labels (name.txt) for the images in {show_name(image_folder)}"
        )
    return {"images": images, "annotations": annotations}


def _read_lines(file: Path, num_keypoints: int) -> list[np.ndarray]:
    """class, box and x, y, visibility of each keypoint (5 + 3 K,) for each nonempty line."""
    rows = []
    for number, line in enumerate(file.read_text("utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = np.array(line.split(), np.float64)
        except ValueError:
            values = np.empty(0)
        dimensions = (len(values) - 5) / num_keypoints
        if dimensions not in (2, 3) or not np.isfinite(values).all():
            raise DataError(
                f"{show_name(file)}:{number}: got {len(line.split())} values, expected class, box (4) and 2 "
                f"or 3 for each of {num_keypoints} keypoints, in numbers"
            )
        if (np.abs(values[1:5]) > _MOST).any():
            box = ", ".join(f"{value:g}" for value in values[1:5])
            raise DataError(
                f"{show_name(file)}:{number}: the box is {box}, expected shares of the image's size, "
                "from 0 to 1: are these pixels?"
            )
        if dimensions == 2:  # unlabelled keypoints are at 0, 0
            points = values[5:].reshape(-1, 2)
            flags = 2.0 * (points != 0).any(axis=1)
            values = np.concatenate([values[:5], np.column_stack([points, flags]).ravel()])
        rows.append(values)
    return rows
