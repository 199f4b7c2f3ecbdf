"""Poses in image files, written as pictures and as COCO's results."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


@contextmanager
def writing_poses(
    folder: Path, keypoint_set: KeypointSet, *, threshold: float, save_json: bool
) -> Iterator[Callable[..., None]]:
    """A function that writes the people of an image file: (file, poses, boxes).

    ``poses`` holds keypoints (N, K, 3): x, y and score; ``boxes`` bbox_xywh (N, 4), or None for whole images.
    It writes a picture of them under the image's name. With ``save_json``, `keypoints.json` has all people in
    COCO's results format when this is left, by Ctrl-C or an error too, unless nothing has been done.
    """
    entries: list[dict[str, Any]] = []
    is_done = False

    def write(file: Path, poses: np.ndarray, boxes: np.ndarray | None) -> None:
        _save_picture(folder, file, poses, boxes, keypoint_set, threshold)
        entries.extend(_describe_people(file, poses, boxes))

    try:
        yield write
        is_done = True
    finally:
        if save_json and (is_done or entries):
            write_json(folder / KEYPOINTS_FILE, entries)


def _save_picture(
    folder: Path,
    file: Path,
    poses: np.ndarray,
    boxes: np.ndarray | None,
    keypoint_set: KeypointSet,
    threshold: float,
) -> None:
    image = read_image(file, use_exif=True)
    image = draw_poses(image, poses, keypoint_set, threshold=threshold, bbox_xywh=boxes)
    # A name without an ending that OpenCV writes gets one.
    picture = file.name if cv2.haveImageWriter(file.name) else f"{file.name}.png"
    _, data = cv2.imencode(Path(picture).suffix, image[..., ::-1])
    write_bytes(folder / picture, data.tobytes())


def _describe_people(file: Path, poses: np.ndarray, boxes: np.ndarray | None) -> list[dict[str, Any]]:
    entries = []
    for person, pose in enumerate(poses):
        entry = {"image": file.name, "category_id": 1, "keypoints": pose.ravel().tolist()}
        entry["score"] = float(pose[:, 2].mean())
        if file.stem.isdecimal():
            entry["image_id"] = int(file.stem)
        if boxes is not None:
            entry["bbox"] = boxes[person].tolist()
        entries.append(entry)
    return entries
