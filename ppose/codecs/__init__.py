"""Codecs: keypoints to heatmaps for training, heatmaps to keypoints for inference."""

from ppose.codecs.codec import Codec
from ppose.codecs.msra import MSRAHeatmap
from ppose.codecs.udp import UDPHeatmap

__all__ = ["Codec", "MSRAHeatmap", "UDPHeatmap"]
