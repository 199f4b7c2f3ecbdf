"""Networks (image -> heatmaps), their loss, and the flip test."""

from ppose.models.flip_test import flip_test
from ppose.models.hrnet import HRNet
from ppose.models.hsrnet import HSRNet
from ppose.models.lite_hrnet import LiteHRNet
from ppose.models.losses import (
    KeyPointAdaptiveWingLoss,
    KeyPointMSELoss,
    KeyPointOHKMMSELoss,
    KeyPointSmoothL1Loss,
    Loss,
)
from ppose.models.network import Backbone, Network
from ppose.models.pose_resnet import PoseResNet
from ppose.models.topdown import TopDownHRNet, TopDownSettings

__all__ = [
    "Backbone",
    "HRNet",
    "HSRNet",
    "KeyPointAdaptiveWingLoss",
    "KeyPointMSELoss",
    "KeyPointOHKMMSELoss",
    "KeyPointSmoothL1Loss",
    "LiteHRNet",
    "Loss",
    "Network",
    "PoseResNet",
    "TopDownHRNet",
    "TopDownSettings",
    "flip_test",
]
