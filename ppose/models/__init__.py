"""Networks (image -> heatmaps), their loss, and the flip test."""

from ppose.models.flip_test import flip_test
from ppose.models.hrnet import HRNet
from ppose.models.lite_hrnet import LiteHRNet
from ppose.models.losses import (
    KeyPointAdaptiveWingLoss,
    KeyPointMSELoss,
    KeyPointOHKMMSELoss,
    KeyPointSmoothL1Loss,
)
from ppose.models.pose_resnet import PoseResNet
from ppose.models.topdown import TopDownHRNet, TopDownSettings

__all__ = [
    "HRNet",
    "KeyPointAdaptiveWingLoss",
    "KeyPointMSELoss",
    "KeyPointOHKMMSELoss",
    "KeyPointSmoothL1Loss",
    "LiteHRNet",
    "PoseResNet",
    "TopDownHRNet",
    "TopDownSettings",
    "flip_test",
]
