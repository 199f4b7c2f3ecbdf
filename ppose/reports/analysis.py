"""Computes the numbers of a report on a results file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ppose.geometry import bbox_xywh_to_xyxy
from ppose.metrics.coco_evaluation import Evaluation
from ppose.metrics.oks_matching import Truth, pair_in_images
from ppose.metrics.pck import share_within
from ppose.reports.error_kinds import BACKGROUND, KINDS, find_costs, find_kinds, similarities

PCK_THRESHOLDS = np.linspace(0, 0.3, 61)  # shares of the longer side of a person's box
SIMILARITIES = np.linspace(0, 1, 61)
_RESAMPLES = 300
_SCORE_BINS = 10
_OVERLAPPING = 0.1  # IoU above which boxes count as overlapping
_CORRECT = 0  # index of the threshold 0.5, from which on a person counts as found


@dataclass(frozen=True, eq=False)
class Analysis:
    """The analysis of a results file.

    table are COCO's numbers; partners (D,) the true person that each found one matches at an OKS of 0.1, -1
    for nobody, oks (D,) the OKS with it; for kinds (D, K) see `find_kinds`, for costs `find_costs`; groups
    hold AP, AR and people by group name, for each criterion.
    """

    evaluation: Evaluation
    table: dict[str, float]
    partners: np.ndarray
    oks: np.ndarray
    kinds: np.ndarray
    costs: dict[str, float]
    groups: dict[str, dict[str, tuple[float, float, int]]]

    def kind_counts(self) -> np.ndarray:
        """The number of each keypoint in each kind, (K, 5)."""
        return np.stack([(self.kinds == kind).sum(axis=0) for kind in range(len(KINDS))], axis=1)

    def similarity(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean similarity (K,) with the true keypoints, and shares (61, K) at `SIMILARITIES` or more.

        Similarities are the keypoints' terms of OKS, for labelled keypoints of found people; NaN without any.
        """
        truth, rows = self.evaluation.truth, np.flatnonzero(self.partners >= 0)
        near, labelled = similarities(self.evaluation, rows, self.partners[rows]), truth.labelled
        shares = [share_within(-near, labelled[self.partners[rows]], -limit) for limit in SIMILARITIES]
        with np.errstate(invalid="ignore"):
            return near.sum(axis=0) / labelled[self.partners[rows]].sum(axis=0), np.stack(shares)

    def pck(self) -> np.ndarray:
        """Share (61, K) of the labelled keypoints of found people within `PCK_THRESHOLDS` of their box."""
        truth, rows = self.evaluation.truth, np.flatnonzero(self.partners >= 0)
        true = self.partners[rows]
        off = self.evaluation.found.keypoints[rows] - truth.keypoints[true]
        distances = np.linalg.norm(off, axis=-1) / truth.bboxes_xywh[true, 2:].max(axis=1, initial=1)[:, None]
        return np.stack([share_within(distances, truth.labelled[true], limit) for limit in PCK_THRESHOLDS])


def analyse(evaluation: Evaluation) -> Analysis:
    """Compute all numbers of one results file."""
    partners = evaluation.match(np.array([BACKGROUND]))[:, 0]
    partners = np.where((partners >= 0) & ~evaluation.truth.ignored[partners], partners, -1)
    oks = np.zeros(len(partners))
    pairs = evaluation.pairs
    own = pairs.true == partners[pairs.found]
    oks[pairs.found[own]] = evaluation.oks[own]
    kinds = find_kinds(evaluation, partners)
    return Analysis(
        evaluation,
        evaluation.table(),
        partners,
        oks,
        kinds,
        find_costs(evaluation, partners, kinds),
        {name: _of_groups(evaluation, group(evaluation.truth)) for name, group in _GROUPINGS.items()},
    )


def _of_groups(
    evaluation: Evaluation, groups: Mapping[str, np.ndarray]
) -> dict[str, tuple[float, float, int]]:
    """AP, AR and number of true people of each group (G,) bool.

    A false positive counts in the group of the most similar true person; in all groups if there is none.
    """
    truth, pairs = evaluation.truth, evaluation.pairs
    best = evaluation.best_oks()
    nearest = np.full(len(best), -1)
    is_best = (evaluation.oks == best[pairs.found]) & (evaluation.oks > 0)
    nearest[pairs.found[is_best]] = pairs.true[is_best]
    numbers = {}
    for name, members in groups.items():
        counted = members & ~truth.ignored
        if counted.any():
            outcome = evaluation.outcome(~counted, (nearest >= 0) & ~members[nearest])
            precision, recall = outcome.precision_recall()
            numbers[name] = (float(precision.mean()), float(recall.mean()), int(counted.sum()))
    return numbers


def _by_size(truth: Truth) -> dict[str, np.ndarray]:
    edges = (0, 32, 64, 96, 128, 192, np.inf)
    sides = np.sqrt(truth.areas)
    return {
        f"{low} to {high} px" if np.isfinite(high) else f"from {low} px": (sides >= low) & (sides < high)
        for low, high in pairwise(edges)
    }


def _by_visible(truth: Truth) -> dict[str, np.ndarray]:
    count, most = truth.labelled.sum(axis=1), truth.labelled.shape[1]
    edges = sorted({1, *np.ceil(np.array([0.3, 0.6, 0.9]) * most).astype(int).tolist(), most + 1})
    return {
        f"{low} to {high - 1}" if high - low > 1 else f"{low}": (count >= low) & (count < high)
        for low, high in pairwise(edges)
    }


def _by_crowding(truth: Truth) -> dict[str, np.ndarray]:
    near = count_overlapping(truth)
    return {"nobody": near == 0, "1 or 2": (near == 1) | (near == 2), "3 or more": near >= 3}


_GROUPINGS: dict[str, Callable[[Truth], dict[str, np.ndarray]]] = {
    "size (square root of the area)": _by_size,
    "labelled keypoints": _by_visible,
    "people whose box overlaps (IoU above 0.1)": _by_crowding,
}


def count_overlapping(truth: Truth) -> np.ndarray:
    """For each true person the number of other boxes with an IoU above 0.1, (G,)."""
    first, second = pair_in_images(truth.images, truth.images, truth.num_images)
    boxes = bbox_xywh_to_xyxy(truth.bboxes_xywh)
    low = np.maximum(boxes[first, :2], boxes[second, :2])
    high = np.minimum(boxes[first, 2:], boxes[second, 2:])
    common = np.maximum(high - low, 0).prod(axis=1)
    areas = truth.bboxes_xywh[:, 2:].prod(axis=1)
    overlaps = common > _OVERLAPPING * (areas[first] + areas[second] - common)
    return np.bincount(first[overlaps & (first != second)], minlength=len(truth.images))


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores against correctness (OKS of 0.5 or more): per tenth mean score, share correct, and people.

    error is the mean difference of the first two (expected calibration error); precision and recall (D,) are
    by descending score; threshold has the best F1, f1, at the index ``best`` of these two.
    """

    mean_scores: np.ndarray
    shares: np.ndarray
    counts: np.ndarray
    error: float
    precision: np.ndarray
    recall: np.ndarray
    threshold: float
    f1: float
    best: int


def calibrate(evaluation: Evaluation) -> Calibration | None:
    """How well scores predict correctness; None if nobody counts."""
    outcome = evaluation.outcome()
    right, wrong = outcome.right[:, _CORRECT], outcome.wrong[:, _CORRECT]
    counts = right | wrong
    if not counts.any() or not outcome.positives.sum():
        return None
    scores, right = outcome.scores[counts], right[counts]
    bins = np.clip((scores * _SCORE_BINS).astype(int), 0, _SCORE_BINS - 1)
    people = np.bincount(bins, minlength=_SCORE_BINS)
    used = people > 0
    means = np.bincount(bins, scores, _SCORE_BINS)[used] / people[used]
    shares = np.bincount(bins, right, _SCORE_BINS)[used] / people[used]
    hits = right.cumsum()
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / outcome.positives.sum()
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.spacing(1))
    last = np.append(scores[1:] < scores[:-1], True)  # equal scores are taken together
    best = int(np.argmax(np.where(last, f1, -1)))
    error = float((np.abs(means - shares) * people[used]).sum() / people.sum())
    return Calibration(
        means, shares, people[used], error, precision, recall, float(scores[best]), float(f1[best]), best
    )


@dataclass(frozen=True)
class Comparison:
    """AP difference of two results on the same images (second minus first), with a 95 % bootstrap interval.

    share is the share of resamples in which the second is better; intervals are those of each AP.
    """

    difference: float
    interval: tuple[float, float]
    share: float
    intervals: tuple[tuple[float, float], tuple[float, float]]


def compare(first: Evaluation, second: Evaluation, seed: int = 0) -> Comparison:
    """Bootstrap over images (Efron, 1979), drawn with replacement, the same images for both."""
    rng = np.random.default_rng(seed)
    outcomes = (first.outcome(), second.outcome())
    images = first.truth.num_images
    drawn = np.empty((_RESAMPLES, 2))
    for row in drawn:
        weights = rng.multinomial(images, np.full(images, 1 / images)).astype(np.float64)
        row[:] = [outcome.average_precision(weights) for outcome in outcomes]

    def interval(values: np.ndarray) -> tuple[float, float]:
        low, high = np.quantile(values, [0.025, 0.975]).tolist()
        return low, high

    difference = outcomes[1].average_precision() - outcomes[0].average_precision()
    won = drawn[:, 1] - drawn[:, 0]
    share = float((won > 0).mean() + (won == 0).mean() / 2)
    return Comparison(difference, interval(won), share, (interval(drawn[:, 0]), interval(drawn[:, 1])))
