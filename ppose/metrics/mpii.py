"""The name of MPII's metric."""

from ppose.errors import ConfigError
from ppose.metrics.metric import Metric
from ppose.workspace import register


@register(Metric)
class KeyPointTopDownMPIIEval:
    """PCKh, which is not computed here: in a config the name only says which keypoints there are."""

    default_keypoint_set = "mpii16"

    def __init__(self) -> None:
        name = type(self).__name__
        raise ConfigError(f"metric is {name}; only KeyPointTopDownCOCOEval can be computed here")
