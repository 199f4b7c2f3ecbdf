"""Measures how exact an export is in a runtime, against the float export and against labelled keypoints."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ppose.annotations import Annotations, Images, read_annotations
from ppose.annotations.columns import AREA_OF_BOX
from ppose.errors import DataError
from ppose.files import read_json
from ppose.geometry import bbox_xywh_to_xyxy
from ppose.image_files import read_boxes_and_sizes
from ppose.keypoints import KeypointSet
from ppose.metrics.coco import CocoKeypointMetric
from ppose.metrics.oks import oks

_SURE = 0.2  # least score of keypoints that are compared
Found = tuple[np.ndarray, np.ndarray]  # keypoints (N, K, 2), scores (N, K)


@dataclass(frozen=True, eq=False)
class Sample:
    """People to compare on: image files with bboxes_xyxy (N, 4); None takes the image as one person.

    ``annotations`` are these people's, if known; ``image_ids`` (N,) are theirs, in order.
    """

    keypoint_set: KeypointSet
    scenes: list[tuple[Path, np.ndarray | None]]
    annotations: Annotations | None = None
    image_ids: np.ndarray | None = None

    @property
    def people(self) -> int:
        """The number of people."""
        return sum(1 if boxes is None else len(boxes) for _, boxes in self.scenes)

    def find_ap(self, found: Found) -> float | None:
        """AP of these keypoints; None without annotations."""
        if self.annotations is None or self.image_ids is None:
            return None
        keypoints, scores = found
        metric = CocoKeypointMetric(self.annotations, self.keypoint_set)
        metric.update(keypoints, scores, self.image_ids, self._areas(keypoints), np.ones(len(keypoints)))
        return metric.compute()["AP"]

    def find_oks(self, found: Found, exact: Found) -> float:
        """The mean OKS with the float export's keypoints, over those with a score of 0.2 or more."""
        (keypoints, _), (others, scores) = found, exact
        person, index = np.nonzero(scores >= _SURE)
        if not len(person):
            return 1.0
        sigmas = np.asarray(self.keypoint_set.sigmas)[index]
        areas = AREA_OF_BOX * self._areas(others)[person]
        each = oks(keypoints[person, index][:, None], others[person, index][:, None], areas, sigmas[:, None])
        return float(each.mean())

    def _areas(self, keypoints: np.ndarray) -> np.ndarray:
        """Areas (N,) of the boxes, or without boxes of the keypoints' extent."""
        sides = np.ptp(keypoints, axis=1)
        of_boxes = [boxes for _, boxes in self.scenes]
        if all(boxes is not None for boxes in of_boxes):
            boxes = np.concatenate([boxes for boxes in of_boxes if boxes is not None])
            sides = boxes[:, 2:] - boxes[:, :2]
        return np.maximum(sides.prod(axis=1), 1.0)


def take_sample(
    files: Sequence[Path], boxes: str | Path | None, keypoint_set: KeypointSet, most: int
) -> Sample:
    """About ``most`` people, spread over all image files; ``boxes`` as of `read_boxes_and_sizes`.

    Raises DataError if there is nobody.
    """
    if boxes is None:
        return Sample(keypoint_set, [(file, None) for file in _spread(files, [1] * len(files), most)])
    if (labelled := _take_labelled(files, Path(boxes), keypoint_set, most)) is not None:
        return labelled
    found, _ = read_boxes_and_sizes(boxes, files)
    with_people = [(file, people) for file, people in zip(files, found, strict=True) if len(people)]
    if not with_people:
        raise DataError(f"{boxes} has no box of an image among these")
    counts = [len(people) for _, people in with_people]
    return Sample(keypoint_set, _spread(with_people, counts, most))


def _take_labelled(files: Sequence[Path], boxes: Path, keypoint_set: KeypointSet, most: int) -> Sample | None:
    """The sample with annotations; None if the file has none of these keypoints."""
    content = read_json(boxes, "box file")
    if not isinstance(content, Mapping):
        return None
    with suppress(DataError):
        whole = read_annotations(content, keypoint_set, where=str(boxes))
        paths = {file.name: file for file in files}
        counts = _count_people(whole)
        rows = [row for row, name in enumerate(_names(whole.images)) if counts[row] and name in paths]
        chosen = _spread(rows, [counts[row] for row in rows], most)
        ids = {str(whole.images.ids[row]) for row in chosen}
        part = {
            **content,
            "images": [image for image in content["images"] if str(image["id"]) in ids],
            "annotations": [a for a in content["annotations"] if str(a["image_id"]) in ids],
        }
        return _with_annotations(read_annotations(part, keypoint_set, where=str(boxes)), paths, keypoint_set)
    return None


def _with_annotations(
    annotations: Annotations, paths: Mapping[str, Path], keypoint_set: KeypointSet
) -> Sample | None:
    people, scenes, image_ids = annotations.people, [], []
    if people is None:
        return None
    for row, name in enumerate(_names(annotations.images)):
        of_image = people.used[people.images[people.used] == row]
        if len(of_image):
            scenes.append((paths[name], bbox_xywh_to_xyxy(people.bboxes_xywh[of_image])))
            image_ids += [annotations.images.ids[row]] * len(of_image)
    return Sample(keypoint_set, list(scenes), annotations, np.array(image_ids)) if scenes else None


def _count_people(annotations: Annotations) -> np.ndarray:
    """The number of used people in each image."""
    people, images = annotations.people, len(annotations.images)
    if people is None:
        return np.zeros(images, int)
    return np.bincount(people.images[people.used], minlength=images)


def _names(images: Images) -> list[str]:
    return [Path(name).name for name in images.file_names]


def _spread(items: Sequence[Any], counts: Sequence[int], most: int) -> list[Any]:
    """Evenly spaced items that together have about ``most`` people."""
    step = max(sum(counts) / most, 1.0)
    places = np.unique(np.arange(0, len(items), step).astype(int))
    return [items[place] for place in places]
