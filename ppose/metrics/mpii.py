"""MPII's metric, PCKh, by the conventions of its official code."""

from pathlib import Path
from typing import Any

import numpy as np

from ppose.errors import ConfigError, DataError
from ppose.files import write_json
from ppose.keypoints import KeypointSet
from ppose.metrics.in_order import Found
from ppose.metrics.metric import Metric, require
from ppose.metrics.pck import head_distances, share_within
from ppose.mpii_format import MpiiPeople, find_truth_file, read_people, read_truth
from ppose.workspace import Given, register

_GROUPS = {
    "Head": (9,),
    "Shoulder": (12, 13),
    "Elbow": (11, 14),
    "Wrist": (10, 15),
    "Hip": (2, 3),
    "Knee": (1, 4),
    "Ankle": (0, 5),
}
# A person is another if most keypoints are further away than so many heads; few may have been corrected.
_SAME, _CORRECTED = 0.5, 0.1
_NOT_IN_MEAN = (6, 7)  # pelvis and thorax
# The official code prints "Mean@0.1" from the eleventh of its thresholds after 0, which is 0.11.
_MEANS = {"PCKh@0.5": 0.5, "PCKh@0.1": 0.1, "PCKh@0.1 as the official code prints it": 0.11}


@register(Metric)
class KeyPointTopDownMPIIEval:
    """PCKh in percent: the share of keypoints within 0.5 and 0.1 of the head's size (Andriluka et al., 2014).

    ``annotations`` are the people of `ppose.mpii_format.read_people`, or their file. The release's `.mat` has
    head boxes; for JSON, head boxes and ground truth come from ``truth_file``, by default `gt_valid.mat` or
    `mpii_gt_val.mat` beside the annotations, with the same people in the same order.

    As in the official code, predictions, which count from 0, are shifted by 1 to the truth's pixels; a head's
    size is 0.6 of its box's diagonal; means weight each keypoint by how often it is labelled, without pelvis
    and thorax. Raises DataError if head boxes are missing or belong to other people.
    """

    default_keypoint_set = "mpii16"
    headline = ("PCKh@0.5", "PCKh@0.1")

    def __init__(
        self,
        annotations: Given[Any],
        keypoint_set: Given[KeypointSet],
        *,
        truth_file: str | None = None,
    ) -> None:
        self._found = Found(keypoint_set)
        if isinstance(annotations, str | Path):
            annotations = read_people(annotations)
        if not isinstance(annotations, MpiiPeople | None):
            raise ConfigError("KeyPointTopDownMPIIEval is for MPII's people: !KeypointTopDownMPIIDataset")
        self._people = annotations
        if annotations is None:
            return
        if annotations.head_boxes is None or truth_file is not None:
            file = find_truth_file(annotations.where) if truth_file is None else truth_file
            self._truth, self._visible, self._head_boxes = read_truth(file, len(annotations.image_files))
            self._check_order(annotations, file)
        else:
            self._truth, self._visible = annotations.keypoints, annotations.visible
            self._head_boxes = annotations.head_boxes

    def _check_order(self, people: MpiiPeople, file: str | Path) -> None:
        """Raise DataError if the people's keypoints are not those of ``file``, up to a few corrections."""
        labelled = people.visible & self._visible
        off = head_distances(people.keypoints, self._truth, self._head_boxes)
        is_far = (labelled & (off > _SAME)).sum(axis=1) * 2 > labelled.sum(axis=1)
        if is_far.mean() > _CORRECTED:
            first = int(np.flatnonzero(is_far)[0])
            raise DataError(
                f"{file}: {is_far.sum()} of {len(is_far)} people are not those of {people.where}, such as "
                f"number {first}, {people.image_files[first]}: expected the same people in the same order"
            )

    def reset(self) -> None:
        """Forget all people."""
        self._found.reset()

    def update(
        self,
        keypoints: np.ndarray,
        scores: np.ndarray,
        image_id: np.ndarray,
        area: np.ndarray,
        bbox_score: np.ndarray,
        category_id: np.ndarray | None = None,
    ) -> None:
        """Add N people, those of an image in the order of the annotations: see `Metric`."""
        self._found.add(keypoints, scores, image_id)

    def compute(self) -> dict[str, float]:
        """PCKh@0.5 by groups of keypoints, then the means, in 0 .. 100; -1 if nobody has it labelled."""
        people = require(self._people)
        rows = self._found.rows_in(people.image_ids, people.where)
        distances = head_distances(self._found.keypoints + 1, self._truth[rows], self._head_boxes[rows])
        visible = self._visible[rows]
        shares = share_within(distances, visible, 0.5)
        groups = {name: _percent(shares[list(group)].mean()) for name, group in _GROUPS.items()}
        counts = visible.sum(axis=0)
        counts[list(_NOT_IN_MEAN)] = 0
        means = {
            name: _percent((np.nan_to_num(share_within(distances, visible, limit)) @ counts) / counts.sum())
            if counts.any()
            else -1.0
            for name, limit in _MEANS.items()
        }
        return {**groups, **means}

    def write_results(self, path: str | Path) -> None:
        """Write the people as JSON in COCO's results format, with the names of their images."""
        results = self._found.results()
        if self._people is not None:
            names = dict(zip(self._people.image_ids.tolist(), self._people.image_files, strict=True))
            results = [{"image": names[result["image_id"]], **result} for result in results]
        write_json(path, results)


def _percent(share: float) -> float:
    return float(100 * share) if np.isfinite(share) else -1.0
