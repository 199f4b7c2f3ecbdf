"""Finds poses in image files, and writes pictures and COCO results."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from ppose.errors import DataError
from ppose.files import check_writable, write_bytes, write_json
from ppose.inference.detectors import PersonDetector
from ppose.inference.pipeline import Scene, Steps, run_pipeline
from ppose.inference.poses import Pose, Poses
from ppose.inference.predictor import Predictor
from ppose.inference.space_poses import add_space_poses
from ppose.interrupts import saves
from ppose.keypoints import KeypointSet
from ppose.paths import cut_name, show_name
from ppose.transforms import read_annotated
from ppose.visualize import draw_poses, encode_picture

if TYPE_CHECKING:  # imported where needed: a quarter of the time to the first pose
    from ppose.geometry.object_model import ObjectModel
    from ppose.inference.label_files import PoseWriter

_logger = logging.getLogger(__name__)

KEYPOINTS_FILE = "keypoints.json"
# Formats that pictures keep; the others become PNG.
_PICTURE_ENDINGS = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class ImageEntry:
    """An image file, its place among the others, its boxes and its size; see `ImageFiles`."""

    number: int
    file: Path
    bboxes_xyxy: np.ndarray | None
    size: tuple[int, int]

    def read(self) -> np.ndarray:
        """The image (H, W, 3) uint8, RGB, turned as EXIF says; DataError if it cannot be read."""
        return read_annotated(self.file, self.size)[0]


class ImageFiles:
    """Iterates over the entries of image files, and counts the unreadable ones.

    ``boxes`` are those of each file; None takes each image as one person. ``sizes`` are each image's width
    and height in the boxes' file, (0, 0) if unknown: EXIF does not turn an image of that size, see
    `read_annotated`.
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

    def __iter__(self) -> Iterator[ImageEntry]:
        return map(ImageEntry, range(len(self)), self._files, self._boxes, self._sizes)

    def skip(self, error: DataError) -> None:
        """Skip a file with a warning; raise the error if it is the only file."""
        if len(self._files) == 1:
            raise error
        self._problems.append(str(error))
        _logger.warning("skipped: %s", error)

    @property
    def readable(self) -> int:
        """The number of files without those skipped so far."""
        return len(self._files) - len(self._problems)

    def check(self) -> None:
        """Raise DataError if images were skipped; to be called at the end."""
        if self._problems:
            raise DataError(
                f"{len(self._problems)} of {len(self._files)} images were skipped: {self._problems[0]}"
            )


def check_output(folder: Path, image_files: Sequence[Path]) -> None:
    """Raise, before any work, if results cannot be written or would replace the images themselves."""
    for file in image_files:
        if file.resolve().parent == folder.resolve():
            raise DataError(f"{show_name(folder)} holds the images themselves: choose another --output_dir")
    check_writable(folder / KEYPOINTS_FILE)


@saves()
def write_poses(
    images: ImageFiles,
    predictor: Predictor,
    folder: Path,
    *,
    find_people: PersonDetector | None = None,
    threshold: float,
    save_json: bool,
    writers: "Sequence[PoseWriter]" = (),
    model: "ObjectModel | None" = None,
) -> int:
    """Write the people of each image as soon as they are found; returns their number. Shows a progress bar.

    Boxes are those of the images, or what ``find_people`` finds. A picture has the image's name, with `.png`
    appended if pictures cannot be written in the image's format. At the end, ``save_json`` writes all people
    to `keypoints.json` in COCO's results format, and ``writers`` write their files; also after Ctrl-C or an
    error, unless no image is done. With a 3D ``model`` the entries have poses in space, and the pictures
    their axes; a warning gives the reason for objects without a pose.
    """

    def read(entry: ImageEntry) -> tuple[np.ndarray, np.ndarray | None, None]:
        image = entry.read()
        return image, entry.bboxes_xyxy if find_people is None else find_people(image), None

    output = _Output(folder, predictor.keypoint_set, threshold, model)
    steps = Steps(read=read, arrange=lambda scene: scene, finish=output.write, skip=images.skip)
    is_done = False
    try:
        with closing(run_pipeline(predictor, images, steps)) as written:
            for file, reasons in tqdm(written, "images", len(images), False, unit="image", disable=None):
                for reason in reasons:
                    _logger.warning("%s: no pose in space: %s", file, reason)
        is_done = True
    finally:
        done = [output.done[number] for number in sorted(output.done)]
        entries = [entry for _, _, people in done for entry in people]
        if save_json and (is_done or entries):
            write_json(folder / KEYPOINTS_FILE, entries)
        named = [(show_name(file.name), poses) for file, poses, _ in done]
        for write in writers if named else ():
            write(named)
    return len(entries)


@dataclass(frozen=True, eq=False)
class _Output:
    """Writes pictures to a folder; ``done`` maps an image's number to its file, poses and entries."""

    folder: Path
    keypoint_set: KeypointSet
    threshold: float
    model: "ObjectModel | None"
    done: dict[int, tuple[Path, Poses, list[dict[str, Any]]]] = field(default_factory=dict)

    def write(self, scene: Scene[ImageEntry]) -> tuple[Path, list[DataError]]:
        """Write a scene's picture; returns the image file, and why objects have no pose in space."""
        file, poses, boxes = scene.item.file, scene.poses, scene.bboxes_xyxy
        drawn = draw_poses(
            scene.image, stack_poses(poses), self.keypoint_set, threshold=self.threshold, bboxes_xyxy=boxes
        )
        drawn, in_space, reasons = add_space_poses(drawn, poses, self.model)
        _save_picture(self.folder, file, drawn)
        entries = [
            _describe_person(file, pose, has_box=boxes is not None) | more
            for pose, more in zip(poses, in_space, strict=True)
        ]
        self.done[scene.item.number] = (file, poses, entries)
        return file, reasons


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
