"""Collects people that a metric compares one by one with the annotated people of their image."""

from typing import Any

import numpy as np

from ppose.annotations import PERSON, Annotations, People
from ppose.errors import DataError
from ppose.keypoints import KeypointSet
from ppose.metrics.metric import check_shapes, require
from ppose.metrics.oks_matching import rank_in_images


class Found:
    """Collects keypoints of people: ``keypoints`` (N, K, 2) and ``scores`` (N, K) of all so far."""

    def __init__(self, keypoint_set: KeypointSet) -> None:
        self._keypoint_set = keypoint_set
        self.reset()

    def reset(self) -> None:
        """Forget all people."""
        count = self._keypoint_set.num_keypoints
        self._batches = [(np.zeros((0, count, 2)), np.zeros((0, count)), np.zeros(0, np.int64))]

    def add(self, keypoints: np.ndarray, scores: np.ndarray, image_ids: np.ndarray) -> None:
        """Add N people; ConfigError for another number of keypoints than the set's."""
        check_shapes(keypoints, scores, self._keypoint_set)
        self._batches.append((keypoints, scores, np.asarray(image_ids)))

    @property
    def keypoints(self) -> np.ndarray:
        """(N, K, 2) in image pixels."""
        return np.concatenate([batch[0] for batch in self._batches])

    @property
    def scores(self) -> np.ndarray:
        """(N, K)."""
        return np.concatenate([batch[1] for batch in self._batches])

    @property
    def image_ids(self) -> np.ndarray:
        """(N,) as in the dataset."""
        return np.concatenate([batch[2] for batch in self._batches])

    def match(self, annotations: Annotations | None) -> People:
        """The annotated person for each found one, see `rows_in`; raises DataError."""
        annotations = require(annotations)
        people = require(annotations.people)
        people = people.take(people.used)
        return people.take(self.rows_in(annotations.images.ids[people.images], annotations.where))

    def rows_in(self, true_image_ids: np.ndarray, where: str) -> np.ndarray:
        """Rows (N,) of the annotated people, of these images (T,), that correspond to the found ones.

        The first person found in an image is its first annotated one, and so on. Raises DataError if an image
        has different numbers of both, as with detected boxes.
        """
        own, truth = self.image_ids, np.asarray(true_image_ids)
        of_truth = np.argsort(truth, kind="stable")
        first = np.searchsorted(truth[of_truth], own)
        rows = first + rank_in_images(np.unique(own, return_inverse=True)[1], np.zeros(len(own)))
        is_known = rows < len(truth)
        is_known[is_known] = truth[of_truth[rows[is_known]]] == own[is_known]
        if not is_known.all():
            raise DataError(
                f"image {own[~is_known][0]} has more people than in {where}; this metric needs the "
                "annotated boxes (use_gt_bbox: true)"
            )
        return of_truth[rows]

    def results(self) -> list[dict[str, Any]]:
        """The people in COCO's results format; the score is the mean of the keypoints'."""
        keypoints, scores, image_ids = self.keypoints, self.scores, self.image_ids
        triplets = np.concatenate([keypoints, scores[..., None]], axis=-1).reshape(len(keypoints), -1)
        columns = (image_ids.tolist(), triplets.tolist(), scores.mean(axis=1).tolist())
        return [
            {"image_id": image, "category_id": PERSON, "keypoints": flat, "score": score}
            for image, flat, score in zip(*columns, strict=True)
        ]
