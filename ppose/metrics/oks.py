"""Object keypoint similarity (OKS), and non-maximum suppression of an image's people by OKS."""

import numpy as np
from numpy.typing import ArrayLike


def similarity(squared: np.ndarray, areas: ArrayLike, sigmas: ArrayLike) -> np.ndarray:
    """exp(-d^2 / (2 area (2 sigma)^2)) of squared distances (..., K), areas (...,) and sigmas (K,).

    Lengths are in pixels. The order of operations is pycocotools', so that all digits agree.
    """
    spread = (2 * np.asarray(sigmas)) ** 2
    return np.exp(-squared / spread / (np.asarray(areas, np.float64)[..., None] + np.spacing(1)) / 2)


def oks(keypoints: np.ndarray, others: np.ndarray, area: ArrayLike, sigmas: ArrayLike) -> np.ndarray:
    """Return the mean `similarity` (...,) of keypoints (..., K, 2) to others (..., K, 2), 1 where equal.

    ``area`` (...,) is the person's in square pixels (COCO keypoint evaluation). All keypoints count.

    >>> oks(np.zeros((1, 2)), np.array([[3.0, 4.0]]), area=100.0, sigmas=[0.25]).round(3)
    np.float64(0.607)
    """
    squared = ((np.asarray(keypoints, np.float64) - others) ** 2).sum(axis=-1)
    return similarity(squared, area, sigmas).mean(axis=-1)


def oks_nms(
    keypoints: np.ndarray, scores: np.ndarray, areas: np.ndarray, sigmas: ArrayLike, threshold: float
) -> np.ndarray:
    """Return the indexes of the people to keep, by falling score.

    Takes keypoints (N, K, 2), scores (N,) and areas (N,). Removes a person whose OKS with a kept person of
    higher score is above the threshold. OKS uses the mean of both areas, as in the official HRNet code.
    """
    order = _by_falling(scores)
    kept: list[int] = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[_oks_with(best, order, keypoints, areas, sigmas) <= threshold]
    return np.array(kept, np.intp)


def soft_oks_nms(
    keypoints: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    sigmas: ArrayLike,
    threshold: float,
    max_dets: int = 20,
) -> np.ndarray:
    """Return the indexes of the at most ``max_dets`` people to keep, by falling rescored score.

    Each kept person multiplies the others' scores by exp(-oks^2 / threshold); the best of the rest is kept
    next (Soft-NMS, Bodla et al., ICCV 2017, with OKS instead of IoU). Arrays as in `oks_nms`; the output
    scores of kept people stay unchanged, as in the official HRNet code.
    """
    order, rescored = np.arange(len(scores)), np.array(scores, np.float64)
    kept: list[int] = []
    while order.size and len(kept) < max_dets:
        order = order[_by_falling(rescored[order])]
        best, order = order[0], order[1:]
        kept.append(best)
        overlap = _oks_with(best, order, keypoints, areas, sigmas)
        rescored[order] *= np.exp(-(overlap**2) / threshold)
    return np.array(kept, np.intp)


def _by_falling(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-np.asarray(scores), kind="stable")


def _oks_with(
    best: int, rest: np.ndarray, keypoints: np.ndarray, areas: np.ndarray, sigmas: ArrayLike
) -> np.ndarray:
    return oks(keypoints[best], keypoints[rest], (areas[best] + areas[rest]) / 2, sigmas)
