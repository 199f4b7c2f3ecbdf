"""Metrics: each has reset(), update(...) and compute() -> dict[str, float]."""

from ppose.metrics.coco import CocoKeypointMetric, evaluate_results, format_table
from ppose.metrics.oks import oks, oks_nms, soft_oks_nms

__all__ = ["CocoKeypointMetric", "evaluate_results", "format_table", "oks", "oks_nms", "soft_oks_nms"]
