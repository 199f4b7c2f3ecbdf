"""Converts MPII's release to COCO annotations, as `mpii2coco.py` of TF-SimpleHumanPose does."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from ppose.converters.images import find_image
from ppose.errors import DataError
from ppose.mpii_format import MpiiPerson, load_mat, read_release
from ppose.transforms import read_image_size

# Names and limbs as in the published file, including its spelling and its counting from 0.
_NAMES = (
    *("r_ankle", "r_knee", "r_hip", "l_hip", "l_knee", "l_ankle", "pelvis", "throax", "upper_neck"),
    *("head_top", "r_wrist", "r_elbow", "r_shoulder", "l_shoulder", "l_elbow", "l_wrist"),
)
_SKELETON = (
    *((0, 1), (1, 2), (2, 6), (7, 12), (12, 11), (11, 10), (5, 4), (4, 3), (3, 6)),
    *((7, 13), (13, 14), (14, 15), (6, 7), (7, 8), (8, 9)),
)
_LARGER = 1.2  # factor from the keypoints' extent to the box


def convert_mpii(source: Path, split: Literal["train", "test"], image_dir: Path | None) -> dict[str, Any]:
    """The content of a COCO file of the release's ``split``, from its `.mat`, or the folder that holds it.

    Coordinates count from 1, as in the release; a box is the extent of its keypoints, less a pixel, times
    1.2. People whose keypoints have no extent are left out; test images have no people. Image ids are indexes
    in the release. The images are in ``image_dir``, or in a nearby `images` folder. Raises DataError.
    """
    file = _find_release(source) if source.is_dir() else source
    folders = [file.parent / "images", file.parent.parent / "images", file.parent]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in read_release(file):
        if image.is_train != (split == "train"):
            continue
        found = find_image(image.file_name, [image_dir] if image_dir is not None else folders)
        width, height = read_image_size(found, use_exif=False)
        name = f"images/{image.file_name}"
        images.append({"id": image.index, "file_name": name, "width": width, "height": height})
        for person in image.people if split == "train" else ():
            box = _make_box(person)
            if box is not None:
                annotations.append(_make_annotation(len(annotations), image.index, person, box))
    category = {
        "supercategory": "person",
        "id": 1,
        "name": "person",
        "skeleton": [list(limb) for limb in _SKELETON],
        "keypoints": list(_NAMES),
    }
    return {"images": images, "categories": [category], "annotations": annotations}


def _find_release(folder: Path) -> Path:
    files = [file for file in sorted(folder.rglob("*.mat")) if "RELEASE" in load_mat(file)]
    if len(files) != 1:
        raise DataError(
            f"{folder} has {len(files)} .mat files with MPII's RELEASE, expected one: name the file"
        )
    return files[0]


def _make_box(person: MpiiPerson) -> list[float] | None:
    points = person.keypoints[person.keypoints[:, 2] > 0, :2]
    if not len(points):
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    size = high - low - 1
    if (size <= 0).any():
        return None
    return np.concatenate([(low + high) / 2.0 - size / 2 * _LARGER, size * _LARGER]).tolist()


def _make_annotation(number: int, image: int, person: MpiiPerson, box: list[float]) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "area": box[2] * box[3],
        "bbox": box,
        "iscrowd": 0,
        "keypoints": person.keypoints.ravel().tolist(),
        "num_keypoints": int(person.keypoints[:, 2].sum()),
    }
