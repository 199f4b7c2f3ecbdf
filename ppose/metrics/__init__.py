"""How good poses are."""

from ppose.metrics.coco import CocoKeypointMetric, evaluate_results, format_table
from ppose.metrics.hand import WholeBodyHandMetric
from ppose.metrics.metric import Metric
from ppose.metrics.mpii import KeyPointTopDownMPIIEval
from ppose.metrics.oks import oks, oks_nms, soft_oks_nms

__all__ = [
    "CocoKeypointMetric",
    "KeyPointTopDownMPIIEval",
    "Metric",
    "WholeBodyHandMetric",
    "evaluate_results",
    "format_table",
    "oks",
    "oks_nms",
    "soft_oks_nms",
]
