"""Poses of people in image files."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
from tqdm import tqdm

from ppose.coco_format import read_images
from ppose.engine.evaluate import make_predict, predict_keypoints
from ppose.engine.task import Task
from ppose.errors import DataError
from ppose.files import check_writable, read_json, write_bytes, write_json
from ppose.keypoints import KeypointSet
from ppose.transforms import read_image
from ppose.visualize import draw_poses

_logger = logging.getLogger(__name__)


def read_boxes(path: str | Path, image_files: Sequence[Path]) -> list[np.ndarray]:
    """Boxes (N, 4) bbox_xywh for each image, from a JSON list of {"image" or "image_id", "bbox"}.

    ``image`` is a file's name; an ``image_id`` belongs to the file whose name is that number, as COCO's are.
    A COCO annotation file will do as well: its people's boxes. Images that the file does not name get none.
    Raises DataError for another form, and where not one usable box is of the given images; those that are of
    none, or have no area, are counted in a warning.
    """
    entries = read_json(path, "box file")
    if isinstance(entries, dict):
        files = {image["id"]: image["file_name"] for image in read_images(entries, str(path)).values()}
        people = entries.get("annotations") or []
        entries = [{**p, "image": files.get(p.get("image_id"), "")} for p in people if isinstance(p, dict)]
    try:
        named = [(_image_of(entry), _read_box(entry["bbox"])) for entry in entries]
    except (ValueError, KeyError, TypeError, OverflowError):
        raise DataError(
            f'{path}: expected a JSON list of {{"image": "name.jpg", "bbox": [x, y, width, height]}}, '
            'or with "image_id" in place of "image"'
        ) from None
    boxes: dict[str | int, list[np.ndarray]] = {}
    for name, box in named:
        if np.isfinite(box).all() and (box[2:] > 0).all():
            boxes.setdefault(name, []).append(box)
    # A file without an ending has one name only, so that its boxes count once.
    names_of = [dict.fromkeys([f.name, int(f.stem) if f.stem.isdecimal() else f.stem]) for f in image_files]
    per_image = [[box for name in names for box in boxes.get(name, [])] for names in names_of]
    used = sum(map(len, per_image))
    if 0 < used < len(named):
        _logger.warning(
            "%s: %d of %d boxes are of no given image or have no area", path, len(named) - used, len(named)
        )
    if not used:
        raise DataError(f"{path}: none of its boxes is of the given images")
    return [np.array(of_image, np.float64).reshape(-1, 4) for of_image in per_image]


def _read_box(bbox: Any) -> np.ndarray:
    box = np.array(bbox, np.float64)
    if box.shape != (4,):
        raise ValueError("not four numbers")
    return box


def _image_of(entry: dict[str, Any]) -> str | int:
    return Path(entry["image"]).name if "image" in entry else int(entry["image_id"])


def infer_images(
    task: Task, model: paddle.nn.Layer, image_files: Sequence[Path], boxes: Sequence[np.ndarray] | None = None
) -> list[np.ndarray]:
    """Keypoints (N, K, 3) of the N people of each image: x, y in image pixels and score.

    ``boxes`` holds (N, 4) bbox_xywh for each image; without it the whole image is one person.
    """
    dataset = task.dataset("TestDataset", image_files=image_files, boxes=boxes)
    poses: list[list[np.ndarray]] = [[] for _ in image_files]
    model.eval()
    # A few images are done before worker processes have started.
    batches = task.batches("TestReader", dataset, workers=0)
    progress = tqdm(batches, desc="inferring", unit="batch", disable=None, leave=False)
    for index, keypoints, scores in predict_keypoints(
        make_predict(task, model, flip=task.test.flip), task.codec, progress
    ):
        for sample, pose in zip(index, np.dstack([keypoints, scores]), strict=True):
            poses[dataset.image_indices[sample]].append(pose)
    count = task.keypoint_set.num_keypoints
    return [np.array(of_image, np.float64).reshape(-1, count, 3) for of_image in poses]


def check_output(folder: Path, image_files: Sequence[Path]) -> None:
    """Raise, before any work, where results could not be written or would replace the images themselves."""
    for file in image_files:
        if file.resolve().parent == folder.resolve():
            raise DataError(f"{folder} holds the images themselves: choose another --output_dir")
    check_writable(folder / "keypoints.json")


def save_poses(
    folder: Path,
    image_files: Sequence[Path],
    poses: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray] | None,
    keypoint_set: KeypointSet,
    *,
    threshold: float,
) -> None:
    """Write a picture of each image's people under its name, and `keypoints.json` with all of them."""
    entries = []
    for number, (file, people) in enumerate(zip(image_files, poses, strict=True)):
        of_image = None if boxes is None else boxes[number]
        image = draw_poses(
            read_image(file, use_exif=True), people, keypoint_set, threshold=threshold, bbox_xywh=of_image
        )
        # A name without an ending that OpenCV writes gets one.
        picture = file.name if cv2.haveImageWriter(file.name) else f"{file.name}.png"
        _, data = cv2.imencode(Path(picture).suffix, image[..., ::-1])
        write_bytes(folder / picture, data.tobytes())
        for person, pose in enumerate(people):
            entry = {"image": file.name, "category_id": 1, "keypoints": pose.ravel().tolist()}
            entry["score"] = float(pose[:, 2].mean())
            if file.stem.isdecimal():
                entry["image_id"] = int(file.stem)
            if of_image is not None:
                entry["bbox"] = of_image[person].tolist()
            entries.append(entry)
    write_json(folder / "keypoints.json", entries)
