"""Poses in image files, written as pictures and as COCO's results."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ppose.errors import DataError
from ppose.files import check_writable, write_bytes, write_json
from ppose.geometry.object_model import ObjectModel
from ppose.inference.detectors import PersonDetector
from ppose.inference.label_files import PoseWriter
from ppose.inference.poses import Pose, Poses
from ppose.inference.predictor import Predictor
from ppose.inference.space_poses import add_space_poses
from ppose.paths import cut_name, show_name
from ppose.transforms import read_annotated
from ppose.visualize import draw_poses, encode_picture

_logger = logging.getLogger(__name__)

KEYPOINTS_FILE = "keypoints.json"
# Of images whose pictures keep their format; those of the others are PNG.
_PICTURE_ENDINGS = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff")


class ImageFiles:
    """Iterates over (image (H, W, 3) uint8, RGB, turned as EXIF says; its bboxes_xyxy or None; file).

    One that cannot be read is skipped with a warning; where it is the only file, it is a DataError. ``boxes``
    are those of each file, None takes each image as one person. ``sizes`` are width and height of each as the
    boxes' file knows it, (0, 0) unknown: an image of that size is not turned, see `read_annotated`.
    """

    def __init__(
        self,
        files: Sequence[Path],
        boxes: Sequence[np.ndarray] | None = None,
        sizes: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self._files = files
        self._boxes = [None] * len(files) if boxes is None else boxes
        self._sizes = [(0, 0)] * len(files) if sizes is None else sizes
        self._problems: list[str] = []

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray | None, Path]]:
        for file, boxes, size in zip(self._files, self._boxes, self._sizes, strict=True):
            try:
                image, _ = read_annotated(file, size)
            except DataError as error:
                if len(self._files) == 1:
                    raise
                self._problems.append(str(error))
                _logger.warning("skipped: %s", error)
                continue
            yield image, boxes, file

    @property
    def readable(self) -> int:
        """How many files there are without those that were skipped so far."""
        return len(self._files) - len(self._problems)

    def check(self) -> None:
        """Raise DataError, when all else is done, where images were skipped."""
        if self._problems:
            raise DataError(
                f"{len(self._problems)} of {len(self._files)} images were skipped: {self._problems[0]}"
            )


def check_output(folder: Path, image_files: Sequence[Path]) -> None:
    """Raise, before any work, where results could not be written or would replace the images themselves."""
    for file in image_files:
        if file.resolve().parent == folder.resolve():
            raise DataError(f"{show_name(folder)} holds the images themselves: choose another --output_dir")
    check_writable(folder / KEYPOINTS_FILE)


def write_poses(
    images: ImageFiles,
    predictor: Predictor,
    folder: Path,
    *,
    find_people: PersonDetector | None = None,
    threshold: float,
    save_json: bool,
    writers: Sequence[PoseWriter] = (),
    model: ObjectModel | None = None,
) -> int:
    """Write the people of each image as soon as they are found; returns their number. Shows a progress bar.

    Their boxes are those that the images come with, or what ``find_people`` finds. A picture of them gets the
    image's name, with `.png` behind it where the image's format is not one to write pictures in. With
    ``save_json``, `keypoints.json` has all people in COCO's results format in the end, after Ctrl-C or an
    error too, unless nothing has been done; so have the files of ``writers``. With a 3D ``model`` the entries
    have poses in space, and the pictures the axes; for things without one a warning says why.
    """
    scenes = iter(images)
    if find_people is not None:
        scenes = ((image, find_people(image), file) for image, _, file in images)
    entries: list[dict[str, Any]] = []
    named: list[tuple[str, Poses]] = []
    is_done = False
    try:
        found = predictor.iter_poses(scenes)
        for (image, boxes, file), poses in tqdm(
            found, "images", len(images), False, unit="image", disable=None
        ):
            drawn = draw_poses(
                image, stack_poses(poses), predictor.keypoint_set, threshold=threshold, bboxes_xyxy=boxes
            )
            drawn, in_space, reasons = add_space_poses(drawn, poses, model)
            for reason in reasons:
                _logger.warning("%s: no pose in space: %s", file, reason)
            _save_picture(folder, file, drawn)
            has_box = boxes is not None
            entries += [
                _describe_person(file, pose, has_box=has_box) | more
                for pose, more in zip(poses, in_space, strict=True)
            ]
            if writers:
                named.append((show_name(file.name), poses))
        is_done = True
    finally:
        if save_json and (is_done or entries):
            write_json(folder / KEYPOINTS_FILE, entries)
        for write in writers if named else ():
            write(named)
    return len(entries)


def stack_poses(poses: Sequence[Pose]) -> np.ndarray:
    """(N, K, 3): x, y and score of each keypoint of N poses."""
    return np.array([pose.to_array() for pose in poses])


def _save_picture(folder: Path, file: Path, image: np.ndarray) -> None:
    ending = file.suffix.lower()
    if ending in _PICTURE_ENDINGS:
        with suppress(DataError):  # too large for this format
            write_bytes(folder / file.name, encode_picture(image, ending))
            return
    write_bytes(folder / cut_name(file.name, ".png"), encode_picture(image, ".png"))


def _describe_person(file: Path, pose: Pose, *, has_box: bool) -> dict[str, Any]:
    record = pose.to_record()
    box = record.pop("bbox")
    entry = {"image": show_name(file.name), "category_id": 1, **record}
    if file.stem.isdecimal():
        entry["image_id"] = int(file.stem)
    if has_box:
        entry["bbox"] = box
    return entry
