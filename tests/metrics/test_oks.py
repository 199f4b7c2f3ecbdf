"""OKS and its suppression against pycocotools and naive loops."""

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from ppose.keypoints import get_keypoint_set
from ppose.metrics import oks, oks_nms, soft_oks_nms

SIGMAS = get_keypoint_set("coco17").sigmas


def _crowd(seed, count=30):
    """People in a few heaps, so that some are doubles of each other."""
    rng = np.random.default_rng(seed)
    heaps = rng.uniform(0, 300, (5, 17, 2))
    keypoints = heaps[rng.integers(0, 5, count)] + rng.normal(0, 6, (count, 17, 2))
    return keypoints, rng.random(count), rng.uniform(4000, 20000, count)


def _naive_oks(a, b, area):
    total = 0.0
    for (xa, ya), (xb, yb), sigma in zip(a, b, SIGMAS, strict=True):
        total += np.exp(-((xa - xb) ** 2 + (ya - yb) ** 2) / (2 * area * (2 * sigma) ** 2))
    return total / len(SIGMAS)


def test_oks_is_that_of_pycocotools():
    keypoints, _, areas = _crowd(0, 8)
    evaluation = COCOeval(iouType="keypoints")
    evaluation.params.imgIds, evaluation.params.catIds = [1], [1]
    for n, points in enumerate(keypoints):
        flat = np.concatenate([points, np.full((17, 1), 2)], axis=1).ravel()
        truth = {"keypoints": flat, "area": areas[n], "bbox": [0, 0, 1, 1]}
        evaluation._gts[1, 1].append(truth)
        evaluation._dts[1, 1].append({"keypoints": flat, "score": -n})
    expected = evaluation.computeOks(1, 1)
    np.testing.assert_allclose(oks(keypoints[:, None], keypoints[None], areas, SIGMAS), expected, rtol=1e-9)
    assert expected[expected < 1].max() > 0.3


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_nms_equals_a_naive_loop(seed, threshold):
    keypoints, scores, areas = _crowd(seed)
    kept = []
    for candidate in sorted(range(len(scores)), key=lambda n: -scores[n]):
        overlaps = [
            _naive_oks(keypoints[candidate], keypoints[k], (areas[candidate] + areas[k]) / 2) for k in kept
        ]
        if all(overlap <= threshold for overlap in overlaps):
            kept.append(candidate)
    assert oks_nms(keypoints, scores, areas, SIGMAS, threshold).tolist() == kept
    if threshold == 0.5:
        assert len(kept) < len(scores)


@pytest.mark.parametrize("max_dets", [5, 20, 100])
@pytest.mark.parametrize("seed", range(4))
def test_soft_nms_equals_a_naive_loop(seed, max_dets):
    keypoints, scores, areas = _crowd(seed)
    before = scores.copy()
    left, rest, kept = dict(enumerate(scores)), set(range(len(scores))), []
    while rest and len(kept) < max_dets:
        best = max(rest, key=left.get)
        rest.remove(best)
        kept.append(best)
        for n in rest:
            overlap = _naive_oks(keypoints[best], keypoints[n], (areas[best] + areas[n]) / 2)
            left[n] *= np.exp(-(overlap**2) / 0.9)
    found = soft_oks_nms(keypoints, scores, areas, SIGMAS, 0.9, max_dets)
    assert found.tolist() == kept
    if max_dets == 100:
        assert kept != sorted(kept, key=lambda n: -scores[n])
    np.testing.assert_array_equal(scores, before)


def test_nobody_and_a_person_without_area():
    nobody = np.zeros((0, 17, 2)), np.zeros(0), np.zeros(0)
    assert oks_nms(*nobody, SIGMAS, 0.9).shape == (0,)
    assert soft_oks_nms(*nobody, SIGMAS, 0.9).shape == (0,)
    points = np.ones((2, 17, 2))
    assert oks_nms(points, np.array([0.1, 0.2]), np.zeros(2), SIGMAS, 0.9).tolist() == [1]
