"""Metrics of poses and tracks."""

from ppose.metrics.coco import CocoKeypointMetric, format_table
from ppose.metrics.coco_evaluation import evaluate_results
from ppose.metrics.crowdpose import CrowdPoseMetric
from ppose.metrics.hand import WholeBodyHandMetric
from ppose.metrics.metric import Metric
from ppose.metrics.mpii import KeyPointTopDownMPIIEval
from ppose.metrics.oks import oks, oks_nms, soft_oks_nms
from ppose.metrics.spacecraft import SpacecraftMetric

__all__ = [
    "CocoKeypointMetric",
    "CrowdPoseMetric",
    "KeyPointTopDownMPIIEval",
    "Metric",
    "SpacecraftMetric",
    "WholeBodyHandMetric",
    "evaluate_results",
    "format_table",
    "oks",
    "oks_nms",
    "soft_oks_nms",
]
