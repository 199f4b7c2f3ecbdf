"""People in COCO's keypoint format, one sample per person."""

import logging
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from ppose.annotations import PERSON, match_key, read_annotations
from ppose.annotations.ids import id_array
from ppose.boxes import read_people_boxes
from ppose.data.dataset import Dataset
from ppose.errors import DataError
from ppose.formats.yolo_labels import read_yolo_labels
from ppose.geometry import bbox_xywh_to_center_scale, clip_boxes_xywh
from ppose.image_files import find_image
from ppose.keypoints import KeypointSet
from ppose.paths import show_name
from ppose.transforms import ImageReader, LazySample, read_image_size
from ppose.workspace import Given, register

_logger = logging.getLogger(__name__)

GROUND_TRUTH_BOXES = "the people's own boxes (ground truth)"
DETECTED_BOXES = "detected boxes"


@register(Dataset, ignored=("pixel_std",))
class KeypointTopDownCocoDataset:
    """One sample per person of a COCO keypoint file, or one per box of a detection file.

    Paths are relative to ``dataset_dir``. ``image_dir`` is the folder of images; ``anno_path`` is the
    annotation file, or a folder of Ultralytics' labels. `read_annotations` reads it; a log line counts the
    people left out, by reason. ``categories`` (names or ids) chooses, if several categories have keypoints.

    With ``use_gt_bbox`` the boxes are the annotated ones; ``clip_bbox`` clips boxes to the image and shrinks
    them by a pixel, as the official HRNet code and PaddleDetection do. Without it, ``bbox_file`` is the file
    of detected boxes (see `read_people_boxes`), used with a score of ``image_thre`` or more, and the
    annotations may be an image list (test-dev).

    Photos are rotated by their EXIF orientation if the file states the size of the rotated picture, as
    labelling tools show it, or no size; ``use_exif: false`` keeps the stored pixels, for files labelled that
    way.

    A sample holds image_file, image (H, W, 3) RGB, read on access (`LazySample`), center, scale (image
    pixels, padded by 1.25 to the input's aspect ratio) and, with annotated boxes, keypoints (K, 2) and
    visible (K,). Arrays over all samples: image_ids, category_ids (both as in the file), areas (of the padded
    box) and bbox_scores.
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
        clip_bbox: bool = True,
        categories: Sequence[int | str] | None = None,
        use_exif: bool = True,
    ) -> None:
        self._folder = Path(dataset_dir) / image_dir
        self._reader = ImageReader(use_exif=use_exif)
        if num_joints not in (None, keypoint_set.num_keypoints):
            known = f"the keypoint set '{keypoint_set.name}' has {keypoint_set.num_keypoints}"
            raise DataError(f"num_joints is {num_joints}, {known}")
        if not use_gt_bbox and bbox_file is None:
            raise DataError("use_gt_bbox is false but no bbox_file is given: set EvalDataset.bbox_file")
        file = Path(dataset_dir) / anno_path
        if dataset_dir and not file.exists():
            fetch = "`ppose download coco` fetches COCO; " if Path(dataset_dir).name == "coco" else ""
            raise DataError(
                f"annotation file not found: {show_name(file)}; {fetch}dataset_dir, image_dir and anno_path "
                "set another place, as in -o EvalDataset.dataset_dir=FOLDER"
            )
        self.annotations = read_annotations(
            self.find_annotations(file, keypoint_set),
            keypoint_set,
            where=show_name(file),
            categories=categories,
            find_size=self._find_size,
            needs_people=use_gt_bbox,
        )
        report = self.annotations.report()
        if report is not None:
            _log_once(report)
        self.boxes = GROUND_TRUTH_BOXES if use_gt_bbox else DETECTED_BOXES
        self._points: np.ndarray | None = None
        if use_gt_bbox:
            boxes = self._take_labelled(clip_bbox)
            if bbox_file and _find_box_file(bbox_file, dataset_dir).is_file():
                _logger.warning("bbox_file is not used, since use_gt_bbox is true")
        else:
            boxes = self._take_detected(_find_box_file(bbox_file or "", dataset_dir), image_thre)
        self._centers, self._scales = bbox_xywh_to_center_scale(boxes, trainsize[0] / trainsize[1])
        self.image_ids = self.annotations.images.ids[self._images]
        self.areas = self._scales.prod(axis=1)

    def _find_size(self, file_name: str) -> tuple[int, int] | None:
        """Width and height of an image as it will be read; None if it cannot be read."""
        try:
            return read_image_size(find_image(self._folder, file_name), use_exif=self._reader.use_exif)
        except DataError:
            return None  # reported when a sample reads it

    def _take_labelled(self, clip_bbox: bool) -> np.ndarray:
        """Make samples of the annotated people; returns their boxes (N, 4)."""
        annotations, people = self.annotations, self.annotations.people
        if people is None or not len(people.used):
            counts = ", ".join(f"{reason} {count}" for reason, count in annotations.left_out.items())
            raise DataError(
                f"{annotations.where}: no usable person: nobody has a box with labelled keypoints"
                + (f" ({counts})" if counts else "")
            )
        used = people.take(people.used)
        self._images, self.category_ids = used.images, used.category_ids
        self.bbox_scores = np.ones(len(used))
        self._points = np.concatenate([used.keypoints, used.visibility[..., None]], axis=-1)
        if not clip_bbox:
            return used.bboxes_xywh
        return clip_boxes_xywh(used.bboxes_xywh, annotations.images.limits(used.images))[0]

    def _take_detected(self, file: Path, score_threshold: float) -> np.ndarray:
        """Make samples of detected boxes; returns the boxes (N, 4)."""
        images = self.annotations.images
        own = self.annotations.categories
        # Detectors give people the id 1, whatever it is here, unless they find other things too.
        one: dict[Any, str] = (
            {} if self.annotations.dropped or not own else {PERSON: next(iter(own.values()))}
        )
        found = read_people_boxes(
            file,
            images.file_names,
            images.ids.tolist(),
            annotated={**one, **own},
            threshold=score_threshold,
        )
        self._images, self.bbox_scores = found.rows, found.scores
        # A detected box gets the annotated category of its name, else the first one.
        annotated = self.annotations.people
        known_as = [] if annotated is None else list(dict.fromkeys(annotated.category_ids.tolist()))
        by_key = {match_key(own): own for own in known_as}
        first = known_as[0] if known_as else PERSON
        self.category_ids = id_array([by_key.get(key, first) for key in found.categories])
        return found.bboxes_xywh

    @property
    def use_exif(self) -> bool:
        """Whether photos are rotated by EXIF."""
        return self._reader.use_exif

    def image_rows(self) -> list[int]:
        """The rows of annotations.images that have samples."""
        return np.unique(self._images).tolist()

    def image_file(self, row: int) -> str:
        """The file of an image of annotations.images."""
        return str(find_image(self._folder, self.annotations.images.file_names[row]))

    def read_image(self, row: int) -> np.ndarray:
        """An image of annotations.images, (H, W, 3) uint8, RGB, as samples have it."""
        return self._reader(self.image_file(row), self.annotations.images.size(row))

    def find_annotations(self, file: Path, keypoint_set: KeypointSet) -> Path | dict[str, Any]:
        """The input of `read_annotations`: the file, or its content converted to COCO's format."""
        return read_yolo_labels(file, self._folder, keypoint_set) if file.is_dir() else file

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The sample of one person; reading its image raises DataError with its name if it is unreadable."""
        row = self._images[index]
        size = self.annotations.images.size(row)
        sample = LazySample(
            partial(self._reader, size=size),
            image_file=self.image_file(row),
            annotated_size=size if self._reader.use_exif else None,
            center=self._centers[index],
            scale=self._scales[index],
        )
        if self._points is not None:
            points = self._points[index]
            sample["keypoints"] = points[:, :2].copy()
            sample["visible"] = (points[:, 2] > 0).astype(np.float32)
        return sample


@cache
def _log_once(report: str) -> None:
    """Log a line once per process: some commands open a dataset several times."""
    _logger.info("%s", report)


def _find_box_file(bbox_file: str, dataset_dir: str) -> Path:
    path = Path(bbox_file)
    return path if path.is_file() else Path(dataset_dir) / bbox_file
