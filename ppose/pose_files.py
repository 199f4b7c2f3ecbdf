"""Poses in image files, written as pictures and as COCO's results."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ppose.errors import DataError
from ppose.files import check_writable, write_bytes, write_json
from ppose.keypoints import KeypointSet
from ppose.transforms import read_image
from ppose.visualize import draw_poses

KEYPOINTS_FILE = "keypoints.json"


def check_output(folder: Path, image_files: Sequence[Path]) -> None:
    """Raise, before any work, where results could not be written or would replace the images themselves."""
    for file in image_files:
        if file.resolve().parent == folder.resolve():
            raise DataError(f"{folder} holds the images themselves: choose another --output_dir")
    check_writable(folder / KEYPOINTS_FILE)


def save_pictures(
    folder: Path,
    image_files: Sequence[Path],
    poses: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray] | None,
    keypoint_set: KeypointSet,
    *,
    threshold: float,
) -> None:
    """Write a picture of each image's people under its name.

    ``poses`` holds keypoints (N, K, 3) of each image: x, y and score; ``boxes``, if any, bbox_xywh (N, 4).
    """
    for number, (file, people) in enumerate(zip(image_files, poses, strict=True)):
        of_image = None if boxes is None else boxes[number]
        image = draw_poses(
            read_image(file, use_exif=True), people, keypoint_set, threshold=threshold, bbox_xywh=of_image
        )
        # A name without an ending that OpenCV writes gets one.
        picture = file.name if cv2.haveImageWriter(file.name) else f"{file.name}.png"
        _, data = cv2.imencode(Path(picture).suffix, image[..., ::-1])
        write_bytes(folder / picture, data.tobytes())


def save_keypoints(
    folder: Path,
    image_files: Sequence[Path],
    poses: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray] | None,
) -> None:
    """Write `keypoints.json`, all people in COCO's results format; arguments as of `save_pictures`."""
    entries = []
    for number, (file, people) in enumerate(zip(image_files, poses, strict=True)):
        of_image = None if boxes is None else boxes[number]
        for person, pose in enumerate(people):
            entry = {"image": file.name, "category_id": 1, "keypoints": pose.ravel().tolist()}
            entry["score"] = float(pose[:, 2].mean())
            if file.stem.isdecimal():
                entry["image_id"] = int(file.stem)
            if of_image is not None:
                entry["bbox"] = of_image[person].tolist()
            entries.append(entry)
    write_json(folder / KEYPOINTS_FILE, entries)
