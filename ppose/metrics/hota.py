"""HOTA: one figure for the quality of detection and of identities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ppose.metrics.assignment import assign

ALPHAS = np.arange(0.05, 0.99, 0.05)  # similarity thresholds from which on a person counts as found
_EPSILON = np.finfo(float).eps


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """A frame: ids (M,) of annotated people, ids (N,) of tracks, and their similarity (M, N), 0 to 1.

    Ids are unique over all videos.
    """

    truth: np.ndarray
    found: np.ndarray
    similarity: np.ndarray


def compute_hota(frames: Sequence[TrackedFrame]) -> dict[str, float]:
    """HOTA, DetA and AssA, each the mean over `ALPHAS` (Luiten et al., IJCV 2021).

    In each frame the assignment maximises similarity times the alignment of the two tracks over all frames;
    pairs with a similarity of alpha or more are true positives. DetA = TP / (TP + FN + FP); AssA is the mean
    over these of the overlap of the pair's tracks, TPA / (TPA + FNA + FPA); HOTA = sqrt(DetA AssA). As
    TrackEval computes it; several videos count as all their frames together.
    """
    if not frames:
        return {"HOTA": 0.0, "DetA": 0.0, "AssA": 0.0}
    truth, of_truth = _number([frame.truth for frame in frames])
    found, of_found = _number([frame.found for frame in frames])
    both = np.zeros((len(of_truth), len(of_found)))
    for rows, columns, frame in zip(truth, found, frames, strict=True):
        s = frame.similarity
        around = s.sum(axis=0) + s.sum(axis=1, keepdims=True) - s
        both[np.ix_(rows, columns)] += np.divide(s, around, out=np.zeros_like(s), where=around > _EPSILON)
    alignment = both / (of_truth[:, None] + of_found - both)
    matches = np.zeros((len(ALPHAS), *both.shape))
    for rows, columns, frame in zip(truth, found, frames, strict=True):
        pairs = assign(-alignment[np.ix_(rows, columns)] * frame.similarity)
        similar = frame.similarity[pairs[:, 0], pairs[:, 1]] >= ALPHAS[:, None] - _EPSILON
        for alpha, is_match in enumerate(similar):
            matches[alpha, rows[pairs[is_match, 0]], columns[pairs[is_match, 1]]] += 1
    hits = matches.sum(axis=(1, 2))
    detection = hits / np.maximum(of_truth.sum() + of_found.sum() - hits, 1)
    common = matches / np.maximum(of_truth[:, None] + of_found - matches, 1)
    association = (matches * common).sum(axis=(1, 2)) / np.maximum(hits, 1)
    return {
        "HOTA": float(np.sqrt(detection * association).mean()),
        "DetA": float(detection.mean()),
        "AssA": float(association.mean()),
    }


def _number(ids: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """The ids of each frame, renumbered from 0, and how often each occurs."""
    _, numbers, counts = np.unique(np.concatenate(ids), return_inverse=True, return_counts=True)
    return np.split(numbers, np.cumsum([len(each) for each in ids])[:-1]), counts
