"""Draws images with annotated people beside the people of several results files."""

from collections.abc import Sequence

import cv2
import numpy as np

from ppose.geometry import bbox_xywh_to_xyxy
from ppose.metrics.coco_evaluation import Evaluation
from ppose.reports.error_kinds import BACKGROUND
from ppose.visualize import draw_poses

_TITLE = 24  # height in pixels
_GAP = 4


def mean_oks(evaluation: Evaluation) -> np.ndarray:
    """The mean OKS (M,) over the annotated people of each image, 0 for missed ones; NaN without people."""
    truth = evaluation.truth
    partners = evaluation.match(np.array([BACKGROUND]))[:, 0]
    own = evaluation.pairs.true == partners[evaluation.pairs.found]
    best = np.zeros(len(truth.images))
    best[evaluation.pairs.true[own]] = evaluation.oks[own]
    counted = ~truth.ignored
    people = np.bincount(truth.images[counted], minlength=truth.num_images)
    total = np.bincount(truth.images[counted], best[counted], truth.num_images)
    with np.errstate(invalid="ignore"):
        return total / people


def draw_side_by_side(
    image: np.ndarray,
    number: int,
    evaluations: Sequence[Evaluation],
    names: Sequence[str],
    *,
    threshold: float,
    score_threshold: float,
) -> np.ndarray:
    """Draw the image (H, W, 3) uint8, RGB, of that number in `Truth`: true people, then those of each file.

    Skips found keypoints and people with scores below the thresholds.
    """
    truth, keypoint_set = evaluations[0].truth, evaluations[0].keypoint_set
    rows = np.flatnonzero((truth.images == number) & ~truth.ignored)
    poses = np.dstack([truth.keypoints[rows], truth.labelled[rows]])
    boxes = bbox_xywh_to_xyxy(truth.bboxes_xywh[rows])
    panels = [_title(draw_poses(image, poses, keypoint_set, bboxes_xyxy=boxes), f"annotated: {len(rows)}")]
    for evaluation, name in zip(evaluations, names, strict=True):
        found = evaluation.found
        rows = np.flatnonzero((found.images == number) & (found.scores >= score_threshold))
        poses = np.dstack([found.keypoints[rows], found.keypoint_scores[rows]])
        drawn = draw_poses(image, poses, keypoint_set, threshold=threshold)
        panels.append(_title(drawn, f"{name}: {len(rows)}"))
    return np.hstack(panels)


def _title(panel: np.ndarray, text: str) -> np.ndarray:
    framed = cv2.copyMakeBorder(panel, _TITLE, 0, 0, _GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    shown = text.encode("ascii", "replace").decode()
    cv2.putText(framed, shown, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return framed
