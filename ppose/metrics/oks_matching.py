"""COCO's matching of found and true people by OKS, and AP of it, over whole files at once.

Rules and numbers are pycocotools'; this code can also match a part of the people, or weight the images,
thousands of times. Arrays are over all images: D found people, G true ones, T thresholds.
"""

from dataclasses import dataclass

import numpy as np

from ppose.metrics.oks import similarity

MOST_PER_IMAGE = 20  # found people that count: those with the highest scores
THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_CHUNK = 1 << 15  # pairs whose distances are in memory at a time
SIZES = {"all": (0.0, 1e10), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}  # square pixels


@dataclass(frozen=True, eq=False)
class Truth:
    """G true people: images (G,) numbers of images, 0 to M - 1; keypoints (G, K, 2), labelled (G, K) bool.

    bboxes_xywh (G, 4), areas (G,), is_crowd (G,), ignored (G,): people who count neither as missed nor as
    false positives; ids (G,) as in the file.
    """

    images: np.ndarray
    keypoints: np.ndarray
    labelled: np.ndarray
    bboxes_xywh: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    ignored: np.ndarray
    ids: np.ndarray
    num_images: int


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs of a found and a true person of one image: found (P,), true (P,), grouped by found.

    ranks (D,) is a found person's rank in its image by descending score, from 0.
    """

    found: np.ndarray
    true: np.ndarray
    ranks: np.ndarray


def rank_in_images(images: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The rank (D,) of each person among those of its image (D,), by descending score, from 0."""
    order = np.lexsort((-scores, images))  # stable
    counts = np.bincount(images, minlength=1)
    starts = np.cumsum(counts) - counts
    ranks = np.empty(len(images), np.int64)
    ranks[order] = np.arange(len(images)) - starts[images[order]]
    return ranks


def pair_people(images: np.ndarray, scores: np.ndarray, truth: Truth) -> Pairs:
    """All pairs within an image, for people found in images (D,) with scores (D,), the best 20 of each."""
    ranks = rank_in_images(images, scores)
    kept = np.flatnonzero(ranks < MOST_PER_IMAGE)
    found, true = pair_in_images(images[kept], truth.images, truth.num_images)
    return Pairs(kept[found], true, ranks)


def pair_in_images(images: np.ndarray, others: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (P,) of images (N,) and of others (M,): all pairs with the same image, of ``count`` images."""
    order = np.argsort(others, kind="stable")
    counts = np.bincount(others, minlength=count)
    starts, partners = np.cumsum(counts) - counts, counts[images]
    rows = np.repeat(np.arange(len(images)), partners)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(partners) - partners, partners)
    return rows, order[starts[images[rows]] + within]


def pair_oks(keypoints: np.ndarray, truth: Truth, pairs: Pairs, sigmas: np.ndarray) -> np.ndarray:
    """OKS (P,) of the pairs; keypoints (D, K, 2). Only labelled keypoints count.

    If a true person has none, distances are measured to its doubled box, as in COCO's evaluation.
    """
    parts = [
        _oks_of(keypoints[pairs.found[at]], truth, pairs.true[at], sigmas)
        for at in np.split(np.arange(len(pairs.found)), range(_CHUNK, len(pairs.found), _CHUNK))
    ]
    return np.concatenate(parts)


def _oks_of(keypoints: np.ndarray, truth: Truth, true: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    labelled, off = truth.labelled[true], keypoints - truth.keypoints[true]
    without = ~labelled.any(axis=1)
    if without.any():
        low, size = np.split(truth.bboxes_xywh[true[without]][:, None], 2, axis=-1)
        points = keypoints[without]
        off[without] = np.maximum(0, low - size - points) + np.maximum(0, points - low - 2 * size)
        labelled[without] = True
    similar = similarity((off**2).sum(axis=-1), truth.areas[true], sigmas)
    return np.where(labelled, similar, 0).sum(axis=1) / labelled.sum(axis=1)


def match_people(
    pairs: Pairs, oks: np.ndarray, is_crowd: np.ndarray, ignored: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """The true person that each found one is matched with, (D, T), -1 for nobody.

    By descending score each takes the free true person with the highest OKS (P,) at or above the threshold.
    Ignored people (G,) are taken only if there is no other, and crowds any number of times.
    """
    limits = np.minimum(thresholds, 1 - 1e-10)
    matched = np.full((len(pairs.ranks), len(limits)), -1)
    taken = np.zeros((len(ignored), len(limits)), bool)
    columns = np.arange(len(limits))
    for rank in range(MOST_PER_IMAGE):
        rows = np.flatnonzero(pairs.ranks[pairs.found] == rank)
        if not len(rows):
            continue
        found, true, value = pairs.found[rows], pairs.true[rows], oks[rows, None]
        free = ~taken[true] | is_crowd[true, None]
        value = np.where(free & (value >= limits), value + 2 * ~ignored[true, None], -1.0)
        starts = np.flatnonzero(np.diff(found, prepend=-1))
        best = np.maximum.reduceat(value, starts)
        is_best = value == np.repeat(best, np.diff(starts, append=len(rows)), axis=0)
        last = np.maximum.reduceat(np.where(is_best, np.arange(len(rows))[:, None], -1), starts)
        partner = np.where(best >= 0, true[last], -1)
        matched[found[starts]] = partner
        hit = partner >= 0
        taken[partner[hit], np.broadcast_to(columns, hit.shape)[hit]] = True
    return matched


@dataclass(frozen=True, eq=False)
class Outcome:
    """D found people by descending score: images (D,), scores (D,), right and wrong (D, T).

    Ignored people are neither right nor wrong. positives (M,): the number of people to find in each image.
    """

    images: np.ndarray
    scores: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    positives: np.ndarray

    def precision_recall(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Precision at 101 recalls (T, 101), and the highest recall (T,); ``weights`` (M,) of the images."""
        if weights is None:
            total: float = self.positives.sum()
            right, wrong = self.right.T.cumsum(axis=1), self.wrong.T.cumsum(axis=1)
        else:
            total = (self.positives * weights).sum()
            own = weights[self.images]
            right, wrong = (own * self.right.T).cumsum(axis=1), (own * self.wrong.T).cumsum(axis=1)
        if not total:
            return np.full((len(right), len(_RECALLS)), -1.0), np.full(len(right), -1.0)
        if not right.shape[1]:
            return np.zeros((len(right), len(_RECALLS))), np.zeros(len(right))
        recall = right / total
        precision = right / (right + wrong + np.spacing(1))
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        at = np.array([np.searchsorted(row, _RECALLS) for row in recall])
        padded = np.pad(precision, ((0, 0), (0, 1)))
        return np.take_along_axis(padded, at, axis=1), recall[:, -1]

    def average_precision(self, weights: np.ndarray | None = None) -> float:
        """AP, the mean over thresholds and recalls; -1 if there is nobody to find."""
        return float(self.precision_recall(weights)[0].mean())


def find_outcome(
    images: np.ndarray,
    scores: np.ndarray,
    ranks: np.ndarray,
    matched: np.ndarray,
    truth: Truth,
    ignored: np.ndarray,
    spare: np.ndarray,
) -> Outcome:
    """The outcome of a matching (D, T); ``ranks`` (D,) are those of `Pairs`.

    ``ignored`` (G,) true people do not count, nor do ``spare`` (D,) found ones without a match.
    """
    kept = np.flatnonzero(ranks < MOST_PER_IMAGE)
    kept = kept[np.lexsort((ranks[kept], images[kept]))]  # pycocotools' order, for ties of scores
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    partner = matched[kept]
    is_matched = partner >= 0
    counts = ~np.where(is_matched, ignored[partner], spare[kept, None])
    positives = np.bincount(truth.images[~ignored], minlength=truth.num_images)
    return Outcome(images[kept], scores[kept], is_matched & counts, ~is_matched & counts, positives)
