"""People in COCO's keypoint format, one sample a person."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ppose.boxes import read_people_boxes
from ppose.coco_format import read_images, read_people
from ppose.data.dataset import Dataset
from ppose.errors import DataError
from ppose.files import read_json
from ppose.geometry import bbox_xywh_to_center_scale, clip_boxes_xywh
from ppose.keypoints import KeypointSet
from ppose.transforms import LazySample, read_image
from ppose.workspace import Given, register

_logger = logging.getLogger(__name__)

GROUND_TRUTH_BOXES = "the people's own boxes (ground truth)"
DETECTED_BOXES = "detected boxes"


@register(Dataset, ignored=("pixel_std",))
class KeypointTopDownCocoDataset:
    """One sample a person of a COCO keypoint file, or one a box of a detection file.

    Files are found in ``dataset_dir``: images in ``image_dir``, annotations in ``anno_path``. With
    ``use_gt_bbox`` the boxes are the annotations' own; crowds, boxes without area and people without a
    labelled keypoint are skipped, as the official HRNet code does; ``clip_bbox`` also cuts the boxes as it
    does, to the image and smaller by a pixel. Otherwise the boxes come from
    ``bbox_file`` (a path, or a file in ``dataset_dir``) as `read_people_boxes` reads it, those of people with
    a score of at least ``image_thre``; the annotations may then be an image list (test-dev).

    A sample holds image_file, image (H, W, 3) RGB, read when it is asked for (`LazySample`), center, scale
    (image pixels, padded by 1.25 to the aspect ratio of ``trainsize``) and, with the people's own boxes,
    keypoints (K, 2) and visible (K,). Beside the samples, as arrays of their length: image_ids, areas (of the
    padded box) and bbox_scores.
    """

    def __init__(
        self,
        image_dir: str,
        anno_path: str,
        trainsize: Sequence[int],
        keypoint_set: Given[KeypointSet],
        dataset_dir: str = "",
        num_joints: int | None = None,
        use_gt_bbox: bool = True,
        bbox_file: str | None = None,
        image_thre: float = 0.0,
        clip_bbox: bool = False,
    ) -> None:
        image_folder = Path(dataset_dir) / image_dir
        self.anno_file = Path(dataset_dir) / anno_path
        # People of one image follow each other: the last image read serves them all.
        self._read = lru_cache(maxsize=1)(read_image)
        if num_joints not in (None, keypoint_set.num_keypoints):
            known = f"the keypoint set '{keypoint_set.name}' has {keypoint_set.num_keypoints}"
            raise DataError(f"num_joints is {num_joints}, {known}")
        content = read_json(self.anno_file, "annotation file")
        images = read_images(content, str(self.anno_file))
        if use_gt_bbox:
            people = _labelled_people(content, images, keypoint_set, self.anno_file, clip_bbox)
            if bbox_file and _find_box_file(bbox_file, dataset_dir).is_file():
                _logger.warning("bbox_file is not used, since use_gt_bbox is true")
        elif bbox_file is None:
            raise DataError("use_gt_bbox is false but no bbox_file is given: set EvalDataset.bbox_file")
        else:
            people = _detected_people(_find_box_file(bbox_file, dataset_dir), images, image_thre)
        self.boxes = GROUND_TRUTH_BOXES if use_gt_bbox else DETECTED_BOXES
        self._files = [str(image_folder / images[person["image_id"]]["file_name"]) for person in people]
        self._points: np.ndarray | None = None
        if use_gt_bbox:
            self._points = np.array([person["keypoints"] for person in people], np.float64)
        bboxes = np.array([person["bbox"] for person in people], np.float64)
        self._centers, self._scales = bbox_xywh_to_center_scale(bboxes, trainsize[0] / trainsize[1])
        self.image_ids = np.array([person["image_id"] for person in people])
        self.areas = self._scales.prod(axis=1)
        self.bbox_scores = np.array([person.get("score", 1.0) for person in people], np.float64)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The sample of one person; reading its image raises DataError that names one that cannot be read."""
        sample = LazySample(
            self._read,
            image_file=self._files[index],
            center=self._centers[index],
            scale=self._scales[index],
        )
        if self._points is not None:
            points = self._points[index].reshape(-1, 3)
            sample["keypoints"] = points[:, :2].copy()
            sample["visible"] = (points[:, 2] > 0).astype(np.float32)
        return sample


def _labelled_people(
    content: Any, images: dict, keypoint_set: KeypointSet, file: Path, clip_bbox: bool
) -> list[dict]:
    people = [
        p for p in read_people(content, keypoint_set, str(file)) if p["num_keypoints"] and not p["iscrowd"]
    ]
    sizes = [(images[p["image_id"]]["width"], images[p["image_id"]]["height"]) for p in people]
    boxes = np.array([p["bbox"] for p in people], np.float64).reshape(-1, 4)
    clipped, valid = clip_boxes_xywh(boxes, np.reshape(sizes, (-1, 2)))
    usable = [ok and p["area"] > 0 for p, ok in zip(people, valid, strict=True)]
    if not any(usable):
        raise DataError(f"{file}: nobody to look at: no person has a box with labelled keypoints")
    boxes = clipped if clip_bbox else boxes
    return [{**p, "bbox": box} for p, box, ok in zip(people, boxes, usable, strict=True) if ok]


def _find_box_file(bbox_file: str, dataset_dir: str) -> Path:
    path = Path(bbox_file)
    return path if path.is_file() else Path(dataset_dir) / bbox_file


def _detected_people(file: Path, images: dict, score_threshold: float) -> list[dict]:
    ids = list(images)
    names = [image["file_name"] for image in images.values()]
    found = read_people_boxes(file, names, ids, threshold=score_threshold)
    columns = zip(found.rows.tolist(), found.bboxes_xywh, found.scores.tolist(), strict=True)
    return [{"image_id": ids[row], "bbox": box, "score": score} for row, box, score in columns]
