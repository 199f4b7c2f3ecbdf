"""Poses in image files, written as pictures and as COCO's results."""

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ppose.errors import DataError
from ppose.files import check_writable, write_bytes, write_json
from ppose.keypoints import KeypointSet
from ppose.transforms import read_image
from ppose.visualize import draw_poses

_logger = logging.getLogger(__name__)

KEYPOINTS_FILE = "keypoints.json"


class ImageFiles:
    """Iterates over (index, image (H, W, 3) uint8, RGB, turned as EXIF says) of files; holds no image.

    One that cannot be read is told of and left out; where it is the only file, it is a DataError. ``read``
    has the files whose images have been given out, oldest first; who has done with one takes it off.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._problems: list[str] = []
        self.read: deque[Path] = deque()

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for index, file in enumerate(self._files):
            try:
                image = read_image(file, use_exif=True)
            except DataError as error:
                if len(self._files) == 1:
                    raise
                self._problems.append(str(error))
                _logger.warning("left out: %s", error)
                continue
            self.read.append(file)
            yield index, image

    @property
    def readable(self) -> int:
        """How many files there are without those that were left out so far."""
        return len(self._files) - len(self._problems)

    def check(self) -> None:
        """Raise DataError, when all else is done, where images were left out."""
        if self._problems:
            raise DataError(
                f"{len(self._problems)} of {len(self._files)} images were left out: {self._problems[0]}"
            )


def check_output(folder: Path, image_files: Sequence[Path]) -> None:
    """Raise, before any work, where results could not be written or would replace the images themselves."""
    for file in image_files:
        if file.resolve().parent == folder.resolve():
            raise DataError(f"{folder} holds the images themselves: choose another --output_dir")
    check_writable(folder / KEYPOINTS_FILE)


def write_poses(
    images: ImageFiles,
    found: Iterable[tuple[np.ndarray, np.ndarray | None]],
    folder: Path,
    keypoint_set: KeypointSet,
    *,
    threshold: float,
    save_json: bool,
) -> int:
    """Write the people of each image as soon as they are found; returns their number. Shows a progress bar.

    ``found``, which iterates over ``images``, has for each, in order, keypoints (N, K, 3): x, y and score;
    and bbox_xywh (N, 4), or None for a whole image. A picture of them gets the image's name. With
    ``save_json``, `keypoints.json` has all people in COCO's results format in the end, after Ctrl-C or an
    error too, unless nothing has been done.
    """
    entries: list[dict[str, Any]] = []
    is_done = False
    try:
        for poses, boxes in tqdm(found, "images", len(images), False, unit="image", disable=None):
            file = images.read.popleft()
            _save_picture(folder, file, poses, boxes, keypoint_set, threshold)
            entries += _describe_people(file, poses, boxes)
        is_done = True
    finally:
        if save_json and (is_done or entries):
            write_json(folder / KEYPOINTS_FILE, entries)
    return len(entries)


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
