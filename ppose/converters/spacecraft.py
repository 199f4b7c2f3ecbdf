"""Converts labels of spacecraft to COCO annotations, as `convert2COCO.py` of HRNet for spacecraft does.

Labels are a JSON list of {filename, bbox, features}: bbox is [x_min, x_max, y_min, y_max] (or is under
`label`), features are {ID, Coordinates [x, y], Visibility} of each keypoint, in order.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ppose.converters.fields import are_numbers
from ppose.errors import ConfigError, DataError
from ppose.files import read_json
from ppose.keypoints import KeypointSet, get_keypoint_set
from ppose.transforms import read_image_size

_logger = logging.getLogger(__name__)

_NO_LICENSE = {"id": 0, "url": "N/A", "name": "N/A"}
_SPEED = {
    "description": "Spacecraft Pose Estimation Dataset (SPEED)",
    "url": "https://purl.stanford.edu/dz692fn7184",
    "version": "N/A",
    "year": 2019,
    "contributor": "Stanford Rendevous Lab (SLAB)",
    "date_created": "2019/02/01",
}
_SPEED_LICENSE = {
    "id": 1,
    "url": "https://creativecommons.org/licenses/by-nc-sa/3.0/",
    "name": "Attribution-NonCommercial-ShareAlike 3.0",
}
_ENVISAT = {
    "description": "Envisat Set 1",
    "url": "https://tudelft.nl",
    "version": "1",
    "year": 2020,
    "contributor": "TU Delft Space Engineering",
    "date_created": "2019/06/01",
}
# For each set: the dataset, its license, and the category's id and name.
_DATASETS: dict[str, tuple[dict[str, Any], dict[str, Any], int, str]] = {
    "tango11": (_SPEED, _SPEED_LICENSE, 1, "Tango"),
    "envisat16": (_ENVISAT, _NO_LICENSE, 2, "Envisat"),
    "envisat12": (_ENVISAT, _NO_LICENSE, 2, "Envisat"),
}


def convert_spacecraft(
    source: Path, keypoint_set: str, image_dir: Path | None, size: tuple[int, int] | None
) -> dict[str, Any]:
    """The content of a COCO file, from labels (a JSON file or its folder) of the images that exist.

    The images are in ``image_dir``, by default an `images` folder beside the file, or the file's own folder;
    ``size`` is (width, height) of all images, or is read from each. An image's id is the number in its name,
    which also orders the images; annotations are numbered from 1. num_keypoints is the set's, visible or not,
    as published. Raises DataError that names the file and the wrong entry.
    """
    if keypoint_set not in _DATASETS:
        raise ConfigError(f"keypoint_set is '{keypoint_set}', expected one of {', '.join(_DATASETS)}")
    info, license_, category_id, name = _DATASETS[keypoint_set]
    known = get_keypoint_set(keypoint_set)
    file = _find_labels(source) if source.is_dir() else source
    folders = [file.parent / "images", file.parent] if image_dir is None else [image_dir]
    found = _find_images(_read_labels(file), folders, file)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (image_id, path, label) in enumerate(found, 1):
        width, height = size or read_image_size(path, use_exif=False)
        images.append(
            {
                "license": license_,
                "file_name": label["filename"],
                "coco_url": "",
                "height": height,
                "width": width,
                "date_captured": "",
                "url": "",
                "id": image_id,
            }
        )
        where = f"{file}: {path.name}"
        annotations.append(_make_annotation(number, image_id, label, category_id, known, where))
    category = {
        "supercategory": "Target",
        "id": category_id,
        "name": name,
        "keypoints": list(known.names),
        "skeleton": [[a + 1, b + 1] for a, b in known.skeleton],
    }
    parts = {"images": images, "annotations": annotations, "categories": [category]}
    return {"info": info, "licenses": license_, **parts}


def _find_labels(folder: Path) -> Path:
    files = sorted(folder.glob("*.json"))
    if len(files) != 1:
        raise DataError(f"{folder} has {len(files)} .json files, expected one with labels: name the file")
    return files[0]


def _read_labels(file: Path) -> Sequence[Mapping[str, Any]]:
    content = read_json(file, "label file")
    if not isinstance(content, list):
        raise DataError(f"{file}: expected a list of {{filename, bbox, features}}")
    for index, label in enumerate(content):
        if not isinstance(label, Mapping) or not isinstance(label.get("filename"), str):
            raise DataError(f"{file}: [{index}]: has no filename")
        if "features" not in label or not {"label", "bbox"} & label.keys():
            missing = "features" if "features" not in label else "bbox"
            raise DataError(f"{file}: {label['filename']}: has no {missing}")
    return content


def _find_images(
    labels: Sequence[Mapping[str, Any]], folders: Sequence[Path], file: Path
) -> list[tuple[int, Path, Mapping[str, Any]]]:
    """Id, file and label of each existing image, by id."""
    found = []
    for label in labels:
        name = label["filename"]
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is None:
            continue
        number = re.search(r"(\d+)$", path.stem)
        if number is None:
            raise DataError(f"{file}: {name}: expected a number, the image's id, at the end of the name")
        found.append((int(number[1]), path, label))
    if not found:
        where = ", ".join(map(str, folders))
        raise DataError(
            f"images not found: none of {file} is in {where}; give their folder with --image_dir DIR"
        )
    if len(found) < len(labels):
        _logger.warning("%s: %d of %d images are missing", file, len(labels) - len(found), len(labels))
    by_id: dict[int, Path] = {}
    for image_id, path, _ in found:
        if image_id in by_id:
            names = f"{by_id[image_id].name} and {path.name}"
            raise DataError(f"{file}: {names} have the same number, which is the image's id")
        by_id[image_id] = path
    return sorted(found, key=lambda image: image[0])


def _make_annotation(
    number: int, image: int, label: Mapping[str, Any], category: int, known: KeypointSet, where: str
) -> dict[str, Any]:
    features = label["features"]
    if isinstance(features, list) and len(features) != known.num_keypoints:
        raise DataError(f"{where}: has {len(features)} features, {known.name} has {known.num_keypoints}")
    try:
        triplets = [[*feature["Coordinates"], feature["Visibility"]] for feature in features]
        corners = label["label"] if "label" in label else label["bbox"]
    except (KeyError, TypeError):
        triplets, corners = [], None
    if not all(are_numbers(triplet, 3) for triplet in triplets) or not are_numbers(corners, 4):
        raise DataError(
            f"{where}: expected a bbox [x_min, x_max, y_min, y_max], and features with Coordinates [x, y] "
            "and Visibility"
        )
    x_min, x_max, y_min, y_max = corners
    if x_min >= x_max or y_min >= y_max:
        raise DataError(f"{where}: its bbox is {corners}, expected [x_min, x_max, y_min, y_max]")
    box = [x_min, y_min, x_max - x_min, y_max - y_min]
    area = box[2] * box[3]
    return {
        "segmentation": [],
        "num_keypoints": known.num_keypoints,
        "area": area,
        "iscrowd": 0,
        "keypoints": [value for triplet in triplets for value in triplet],
        "image_id": image,
        "bbox": box,
        "category_id": category,
        "id": number,
    }
