"""A results file in COCO's format, and the annotations it belongs to, as arrays."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ppose.annotations import Annotations, match_key
from ppose.errors import DataError
from ppose.files import read_json
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
from ppose.paths import show_name


@dataclass(frozen=True, eq=False)
class Found:
    """D people: images (D,) as in `Truth`, keypoints (D, K, 2) and their scores (D, K), scores (D,)."""

    images: np.ndarray
    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class Evaluation:
    """People found against the true ones: what pairs there are, and their OKS (P,)."""

    found: Found
    truth: Truth
    keypoint_set: KeypointSet
    pairs: Pairs
    oks: np.ndarray

    @classmethod
    def of(cls, found: Found, truth: Truth, keypoint_set: KeypointSet) -> "Evaluation":
        """Pair them."""
        pairs = pair_people(found.images, found.scores, truth)
        oks = pair_oks(found.keypoints, truth, pairs, np.array(keypoint_set.sigmas))
        return cls(found, truth, keypoint_set, pairs, oks)

    def with_keypoints(self, keypoints: np.ndarray) -> "Evaluation":
        """As if these keypoints (D, K, 2) had been found."""
        oks = pair_oks(keypoints, self.truth, self.pairs, np.array(self.keypoint_set.sigmas))
        return replace(self, found=replace(self.found, keypoints=keypoints), oks=oks)

    def match(self, thresholds: np.ndarray, ignored: np.ndarray | None = None) -> np.ndarray:
        """Whom each is matched with, (D, T), see `match_people`."""
        ignored = self.truth.ignored if ignored is None else ignored
        return match_people(self.pairs, self.oks, self.truth.is_crowd, ignored, thresholds)

    def outcome(self, ignored: np.ndarray | None = None, spare: np.ndarray | None = None) -> Outcome:
        """What counts, at OKS 0.50 to 0.95.

        ``ignored`` (G,) true people and ``spare`` (D,) found ones that match nobody do not count.
        """
        ignored = self.truth.ignored if ignored is None else ignored
        spare = np.zeros(len(self.found.scores), bool) if spare is None else spare
        matched = self.match(THRESHOLDS, ignored)
        ranks = self.pairs.ranks
        return find_outcome(self.found.images, self.found.scores, ranks, matched, self.truth, ignored, spare)

    def table(self) -> dict[str, float]:
        """COCO's ten numbers, as `ppose.metrics.evaluate_results` has them."""
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
    """Rows of annotations.images in the order of their ids, which is that of `Truth`'s numbers."""
    keys: list[Any] = [match_key(image) for image in annotations.images.ids.tolist()]
    if not all(isinstance(key, int) for key in keys):
        keys = [str(key) for key in keys]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def make_truth(annotations: Annotations) -> Truth:
    """The people of annotations; DataError where none has keypoints."""
    people = annotations.people
    if people is None:
        raise DataError(f"{annotations.where}: no annotation has keypoints; there is nothing to compare with")
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


def read_results(path: str | Path, annotations: Annotations, keypoint_set: KeypointSet) -> Found:
    """The people of a results file: a list of {"image_id", "keypoints" (x, y, score)..., "score"}.

    Raises DataError that names the entry which is wrong, and for images that are not annotated.
    """
    where, entries = show_name(path), read_json(path, "results file")
    if not isinstance(entries, list):
        raise DataError(f"{where}: expected a list of results in COCO's format")
    number: dict[Any, int] = {}
    for place, row in enumerate(image_rows(annotations).tolist()):
        number[match_key(annotations.images.ids[row])] = place
    count = 3 * keypoint_set.num_keypoints
    images, triplets, scores = [], np.zeros((len(entries), count)), np.zeros(len(entries))
    for index, entry in enumerate(entries):
        try:
            image, scores[index], triplets[index] = entry["image_id"], entry["score"], entry["keypoints"]
            images.append(number.get(match_key(image), -1))
        except (TypeError, KeyError, ValueError):
            raise DataError(
                f"{where}: [{index}]: expected image_id, score and {count} numbers in keypoints (x, y, score "
                f"of the {keypoint_set.num_keypoints} of '{keypoint_set.name}')"
            ) from None
        if images[-1] < 0:
            raise DataError(f"{where}: [{index}]: the image {image!r} is not annotated")
    if not (np.isfinite(triplets).all() and np.isfinite(scores).all()):
        raise DataError(f"{where}: keypoints and scores are not all finite")
    points = triplets.reshape(len(entries), keypoint_set.num_keypoints, 3)
    return Found(np.array(images, np.int64), points[..., :2].copy(), points[..., 2].copy(), scores)
