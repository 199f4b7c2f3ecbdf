"""The poses of an image, and their conversion to other programs' formats."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppose.annotations.columns import AREA_OF_BOX
from ppose.geometry import bbox_xyxy_to_xywh
from ppose.keypoints import KeypointSet

_DECIMALS = 6  # of boxes in files; removes the rounding error of sums


@dataclass(frozen=True, eq=False)
class Pose:
    """A person: keypoints (K, 2) in image pixels, their scores (K,), the mean of these, bbox_xyxy (4,).

    ``is_filled``: it was not found, but interpolated between two frames of a video.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    score: float
    bbox_xyxy: np.ndarray
    is_filled: bool = False

    def to_array(self) -> np.ndarray:
        """(K, 3) float64: x, y and score of each keypoint."""
        return np.column_stack([self.keypoints, self.scores]).astype(np.float64)

    def to_record(self) -> dict[str, Any]:
        """The entry in files: bbox (x, y, width, height), keypoints (x, y, score of each) and score.

        Also `is_filled`, if true.
        """
        keypoints, box = self.to_array(), bbox_xyxy_to_xywh(self.bbox_xyxy).round(_DECIMALS)
        score = float(keypoints[:, 2].mean())
        record = {"bbox": box.tolist(), "keypoints": keypoints.ravel().tolist(), "score": score}
        return record | ({"is_filled": True} if self.is_filled else {})


class Poses(list[Pose]):
    """The people of one image: a list of `Pose`, with its ``keypoint_set`` and ``size`` (width, height).

    In labels, keypoints with a score below ``threshold`` are not labelled.
    """

    def __init__(self, keypoint_set: KeypointSet, size: tuple[int, int], poses: Iterable[Pose] = ()) -> None:
        super().__init__(poses)
        self.keypoint_set, self.size = keypoint_set, size

    def to_rows(self) -> list[dict[str, Any]]:
        """A row per person: score, box_x, box_y, box_width, box_height, then NAME_x, NAME_y, NAME_score."""
        columns = ["score", *(f"box_{part}" for part in ("x", "y", "width", "height"))]
        columns += [f"{name}_{part}" for name in self.keypoint_set.names for part in ("x", "y", "score")]
        records = [pose.to_record() for pose in self]
        return [
            dict(zip(columns, [each["score"], *each["bbox"], *each["keypoints"]], strict=True))
            for each in records
        ]

    def to_dataframe(self) -> Any:
        """The rows as pandas.DataFrame."""
        import pandas

        return pandas.DataFrame(self.to_rows())

    def to_coco(self, file_name: str = "", image_id: int = 1, threshold: float = 0.2) -> dict[str, Any]:
        """An annotation file's content in COCO's format: this image, its people as labels, with scores.

        Unlabelled keypoints are 0, 0, 0; labelled ones have visibility 2. The area is 0.53 of the box.
        """
        names, limbs = list(self.keypoint_set.names), [[a + 1, b + 1] for a, b in self.keypoint_set.skeleton]
        width, height = self.size
        annotations = []
        for number, pose in enumerate(self, start=1):
            record, is_labelled = pose.to_record(), pose.scores >= threshold
            points = np.column_stack([pose.keypoints, np.full(len(names), 2)]) * is_labelled[:, None]
            box = record["bbox"]
            annotations.append(
                {
                    "id": number, "image_id": image_id, "category_id": 1, "iscrowd": 0, "bbox": box,
                    "segmentation": [],  # CVAT requires it
                    "area": AREA_OF_BOX * box[2] * box[3], "keypoints": points.ravel().tolist(),
                    "num_keypoints": int(is_labelled.sum()), "score": record["score"],
                }
            )  # fmt: skip
        return {
            "images": [{"id": image_id, "file_name": file_name, "width": width, "height": height}],
            "annotations": annotations,
            "categories": [{"id": 1, "name": "person", "keypoints": names, "skeleton": limbs}],
        }

    def to_labelme(self, file_name: str = "", threshold: float = 0.2) -> dict[str, Any]:
        """The content of a labelme file: a rectangle and points of each person, in one group."""
        from ppose.formats import make_labels
        from ppose.formats.labelme import make_labelme

        content = self.to_coco(file_name, threshold=threshold)
        labels = make_labels(content, file_name, self.keypoint_set, needs_people=False)
        return make_labelme(labels, 0, range(len(self)))

    def to_supervision(self) -> Any:
        """As supervision.KeyPoints, of version 0.31."""
        import supervision

        count = self.keypoint_set.num_keypoints
        points = np.array([pose.to_array() for pose in self], np.float32).reshape(-1, count, 3)
        return supervision.KeyPoints(
            xy=points[..., :2],
            keypoint_confidence=points[..., 2],
            detection_confidence=np.array([pose.score for pose in self], np.float32),
            class_id=np.zeros(len(self), int),
        )
