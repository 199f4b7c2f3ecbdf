"""COCO's evaluation of predicted people against annotations: pairs, matching, and its ten numbers.

The numbers are pycocotools' to the last digit, with the keypoint set's own sigmas.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ppose.annotations import Annotations, match_key
from ppose.errors import DataError
from ppose.keypoints import KeypointSet
from ppose.metrics.oks_matching import (
    SIZES,
    THRESHOLDS,
    Outcome,
    Pairs,
    Truth,
    find_outcome,
    match_people,
    pair_oks,
    pair_people,
)


@dataclass(frozen=True, eq=False)
class FoundPeople:
    """D people: images (D,) as in `Truth`, keypoints (D, K, 2) and their scores (D, K), scores (D,)."""

    images: np.ndarray
    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Found people against true ones: their pairs, and the pairs' OKS (P,)."""

    found: FoundPeople
    truth: Truth
    keypoint_set: KeypointSet
    pairs: Pairs
    oks: np.ndarray

    @classmethod
    def of(cls, found: FoundPeople, truth: Truth, keypoint_set: KeypointSet) -> "Evaluation":
        """Pair them."""
        pairs = pair_people(found.images, found.scores, truth)
        oks = pair_oks(found.keypoints, truth, pairs, np.array(keypoint_set.sigmas))
        return cls(found, truth, keypoint_set, pairs, oks)

    def with_keypoints(self, keypoints: np.ndarray) -> "Evaluation":
        """The same evaluation with these keypoints (D, K, 2) instead."""
        oks = pair_oks(keypoints, self.truth, self.pairs, np.array(self.keypoint_set.sigmas))
        return replace(self, found=replace(self.found, keypoints=keypoints), oks=oks)

    def best_oks(self) -> np.ndarray:
        """The OKS (D,) of each found person with the most similar true one of its image; 0 without one."""
        best = np.zeros(len(self.found.scores))
        np.maximum.at(best, self.pairs.found, self.oks)
        return best

    def match(self, thresholds: np.ndarray, ignored: np.ndarray | None = None) -> np.ndarray:
        """The match of each found person, (D, T), see `match_people`."""
        ignored = self.truth.ignored if ignored is None else ignored
        return match_people(self.pairs, self.oks, self.truth.is_crowd, ignored, thresholds)

    def outcome(self, ignored: np.ndarray | None = None, spare: np.ndarray | None = None) -> Outcome:
        """The true and false positives at OKS 0.50 to 0.95.

        ``ignored`` (G,) true people, and ``spare`` (D,) found ones that match nobody, do not count.
        """
        ignored = self.truth.ignored if ignored is None else ignored
        spare = np.zeros(len(self.found.scores), bool) if spare is None else spare
        matched = self.match(THRESHOLDS, ignored)
        ranks = self.pairs.ranks
        return find_outcome(self.found.images, self.found.scores, ranks, matched, self.truth, ignored, spare)

    def table(self) -> dict[str, float]:
        """AP, AP50, AP75, APm, APl, AR, AR50, AR75, ARm, ARl in 0 .. 1, or -1 if nobody has that size."""
        areas = np.ptp(self.found.keypoints, axis=1).prod(axis=1)
        found = {}
        for name, (low, high) in SIZES.items():
            outside = (self.truth.areas < low) | (self.truth.areas > high)
            found[name] = self.outcome(
                self.truth.ignored | outside, (areas < low) | (areas > high)
            ).precision_recall()
        numbers = {}
        for row, kind in enumerate(("AP", "AR")):
            for ending, at in (("", slice(None)), ("50", 0), ("75", 5)):
                numbers[kind + ending] = float(found["all"][row][at].mean())
            numbers[f"{kind}m"] = float(found["medium"][row].mean())
            numbers[f"{kind}l"] = float(found["large"][row].mean())
        return numbers


def image_rows(annotations: Annotations) -> np.ndarray:
    """Rows of annotations.images in the order of their ids, as `Truth` numbers them."""
    keys: list[Any] = [match_key(image) for image in annotations.images.ids.tolist()]
    if not all(isinstance(key, int) for key in keys):
        keys = [str(key) for key in keys]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def number_images(annotations: Annotations) -> dict[Any, int]:
    """The number that each image has in `Truth`, by its `match_key`."""
    ids = annotations.images.ids
    return {match_key(ids[row]): number for number, row in enumerate(image_rows(annotations).tolist())}


def make_truth(annotations: Annotations) -> Truth:
    """The people of annotations; DataError if nobody has keypoints.

    People left out there, which are no samples of a dataset, are ignored: neither missed nor false positives.
    """
    people = annotations.people
    if people is None:
        raise DataError(f"{annotations.where}: no annotation has keypoints: there is nothing to compare with")
    number = np.empty(len(annotations.images), np.int64)
    number[image_rows(annotations)] = np.arange(len(number))
    counts = np.where(people.is_crowd | (people.left_out == 0), people.num_keypoints, 0)
    return Truth(
        images=number[people.images],
        keypoints=people.keypoints,
        labelled=people.visibility > 0,
        bboxes_xywh=people.bboxes_xywh,
        areas=people.areas,
        is_crowd=people.is_crowd,
        ignored=people.is_crowd | (counts == 0),
        ids=people.ids,
        num_images=len(number),
    )


def evaluate_results(
    annotations: Annotations, results: Sequence[Mapping[str, Any]], keypoint_set: KeypointSet
) -> dict[str, float]:
    """AP and AR, see `Evaluation.table`, of results in COCO's format: image_id, keypoints, score.

    All annotated images count, even without a result; categories are not distinguished. Raises DataError for
    results of other images, and for annotations without keypoints.
    """
    truth = make_truth(annotations)
    number = number_images(annotations)
    images = [number.get(match_key(result["image_id"]), -1) for result in results]
    strangers = {result["image_id"] for result, image in zip(results, images, strict=True) if image < 0}
    if strangers:
        example = min(strangers, key=str)
        raise DataError(f"{len(strangers)} images of the results, such as {example}, are not annotated")
    flat = np.array([result["keypoints"] for result in results], np.float64)
    triplets = flat.reshape(len(results), keypoint_set.num_keypoints, 3)
    found = FoundPeople(
        np.array(images, np.int64),
        triplets[..., :2],
        triplets[..., 2],
        np.array([result["score"] for result in results], np.float64),
    )
    return Evaluation.of(found, truth, keypoint_set).table()
