"""Training targets: the codec that encodes here also decodes the network's output."""

from collections.abc import Sequence
from typing import Any

from ppose.codecs import MSRAHeatmap, UDPHeatmap
from ppose.errors import ConfigError
from ppose.workspace import Given, register


class EncodeHeatmaps:
    """Adds heatmaps (K, H, W), target_weight (K, 1) of keypoints (K, 2) in input pixels, visible (K,)."""

    def __init__(self, codec: MSRAHeatmap | UDPHeatmap) -> None:
        self.codec = codec

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        sample["heatmaps"], sample["target_weight"] = self.codec.encode(
            sample["keypoints"], sample["visible"]
        )
        return sample


@register(kind="transform", names=("ToHeatmapsTopDown",))
def make_msra_targets(
    hmsize: Sequence[int], trainsize: Given[Sequence[int]], use_dark: Given[bool], sigma: float = 2
) -> EncodeHeatmaps:
    """Gaussian targets centred on whole heatmap pixels (Xiao et al., ECCV 2018)."""
    return EncodeHeatmaps(
        MSRAHeatmap(tuple(trainsize), tuple(hmsize), sigma, unbiased=False, use_dark=use_dark)
    )


@register(kind="transform", names=("ToHeatmapsTopDown_DARK",))
def make_unbiased_targets(
    hmsize: Sequence[int], trainsize: Given[Sequence[int]], use_dark: Given[bool], sigma: float = 2
) -> EncodeHeatmaps:
    """Gaussian targets centred on the exact point (DARK, Zhang et al., CVPR 2020)."""
    return EncodeHeatmaps(
        MSRAHeatmap(tuple(trainsize), tuple(hmsize), sigma, unbiased=True, use_dark=use_dark)
    )


@register(kind="transform", names=("ToHeatmapsTopDown_UDP",))
def make_udp_targets(
    hmsize: Sequence[int], trainsize: Given[Sequence[int]], use_dark: Given[bool], sigma: float = 2
) -> EncodeHeatmaps:
    """Gaussian targets in UDP's coordinates (Huang et al., CVPR 2020), decoded with DARK's step.

    The warp must be UDP's as well: `TopDownAffine: {use_udp: true}`.
    """
    if not use_dark:
        raise ConfigError("UDP heatmaps are decoded with DARK's step: set use_dark: true")
    return EncodeHeatmaps(UDPHeatmap(tuple(trainsize), tuple(hmsize), sigma))
