"""Codecs: keypoints to heatmaps for training, heatmaps to keypoints for everything else.

N people, K keypoints, heatmaps of shape (H, W); an object encodes and decodes the same representation:

    codec.encode(keypoints (K, 2) input px, visible (K,)) -> heatmaps (K, H, W), target_weight (K, 1)
    codec.decode(heatmaps (N, K, H, W)) -> keypoints (N, K, 2) input px, scores (N, K)
"""

from ppose.codecs.msra import MSRAHeatmap
from ppose.codecs.udp import UDPHeatmap

__all__ = ["MSRAHeatmap", "UDPHeatmap"]
