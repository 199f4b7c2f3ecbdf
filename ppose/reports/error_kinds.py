"""Classifies errors of found keypoints, after Ruggero Ronchi and Perona (ICCV 2017).

By the similarity ks = exp(-d^2 / (2 area (2 sigma)^2)) with the true keypoint: *good* from 0.85 on, *jitter*
from 0.5 on. Below that: *inversion* if it is 0.5 or more with the mirror twin on the same person, *swap* if
it is so with the keypoint or its twin on another person (the more similar one counts), else *miss*.
"""

from dataclasses import replace

import numpy as np

from ppose.metrics.coco_evaluation import Evaluation
from ppose.metrics.oks import similarity

KINDS = ("good", "jitter", "inversion", "swap", "miss")
GOOD, JITTER, INVERSION, SWAP, MISS = range(len(KINDS))
UNKNOWN = -1  # for unlabelled keypoints, and for unmatched people
BACKGROUND = 0.1  # the OKS below which a person matches nobody

_GOOD_FROM, _NEAR_FROM = 0.85, 0.5


def find_kinds(evaluation: Evaluation, partners: np.ndarray) -> np.ndarray:
    """The kind (D, K) of each found keypoint, for people matched with ``partners`` (D,), -1 for nobody."""
    truth, points = evaluation.truth, evaluation.found.keypoints
    twins = np.array(evaluation.keypoint_set.flip_indices)
    rows = np.flatnonzero(partners >= 0)
    true = partners[rows]
    own, twin = np.zeros((2, *points.shape[:2]))
    own[rows] = similarities(evaluation, rows, true)
    twin[rows] = np.where(twins != np.arange(len(twins)), similarities(evaluation, rows, true, twins), 0)
    other = np.zeros_like(own)
    pairs = evaluation.pairs
    others = np.flatnonzero(
        (partners[pairs.found] >= 0) & (pairs.true != partners[pairs.found]) & ~truth.is_crowd[pairs.true]
    )
    if len(others):
        found, them = pairs.found[others], pairs.true[others]
        near = np.maximum(similarities(evaluation, found, them), similarities(evaluation, found, them, twins))
        starts = np.flatnonzero(np.diff(found, prepend=-1))
        other[found[starts]] = np.maximum.reduceat(near, starts)
    kinds = np.full(own.shape, MISS)
    kinds[np.maximum(twin, other) >= _NEAR_FROM] = INVERSION
    kinds[(other >= _NEAR_FROM) & (other > twin)] = SWAP
    kinds[own >= _NEAR_FROM] = JITTER
    kinds[own >= _GOOD_FROM] = GOOD
    known = np.zeros(own.shape, bool)
    known[rows] = truth.labelled[true]
    return np.where(known, kinds, UNKNOWN)


def similarities(
    evaluation: Evaluation, found: np.ndarray, true: np.ndarray, which: np.ndarray | slice = slice(None)
) -> np.ndarray:
    """ks (N, K) of found people (N,) with true ones (N,) or ``which`` of their keypoints; 0: unlabelled."""
    truth, sigmas = evaluation.truth, np.array(evaluation.keypoint_set.sigmas)
    off = evaluation.found.keypoints[found] - truth.keypoints[true][:, which]
    near = similarity((off**2).sum(axis=-1), truth.areas[true], sigmas[which])
    return np.where(truth.labelled[true][:, which], near, 0)


def find_costs(evaluation: Evaluation, partners: np.ndarray, kinds: np.ndarray) -> dict[str, float]:
    """The gain in AP if one kind of error were corrected and everything else stayed the same.

    Corrected keypoints are moved to the true ones. Further cases: scores in the order of OKS, no false
    positives, and nobody missed.
    """
    truth, found = evaluation.truth, evaluation.found
    before = evaluation.outcome().average_precision()
    true_points = truth.keypoints[np.maximum(partners, 0)]

    def win(kinds_put_right: np.ndarray) -> float:
        points = np.where(kinds_put_right[..., None], true_points, found.keypoints)
        return evaluation.with_keypoints(points).outcome().average_precision() - before

    costs = {KINDS[kind]: win(kinds == kind) for kind in (JITTER, INVERSION, SWAP, MISS)}
    costs["all four"] = win(kinds > GOOD)
    scored = Evaluation.of(replace(found, scores=evaluation.best_oks()), truth, evaluation.keypoint_set)
    costs["order of scores"] = scored.outcome().average_precision() - before
    nobody = partners < 0
    costs["nobody there"] = evaluation.outcome(spare=nobody).average_precision() - before
    is_found = np.zeros(len(truth.ignored), bool)
    is_found[partners[partners >= 0]] = True
    without = evaluation.outcome(truth.ignored | ~is_found).average_precision()
    costs["people missed"] = without - before if without >= 0 else 0.0
    return costs
