"""Training targets: the same codec encodes them and decodes the network's output."""

from dataclasses import dataclass
from typing import Any

from ppose.codecs import Codec, MSRAHeatmap, UDPHeatmap
from ppose.errors import ConfigError
from ppose.transforms.transform import Transform
from ppose.workspace import Given, register


@dataclass(frozen=True)
class HeatmapTargets:
    """Keys of `ToHeatmapsTopDown`, which determine the codec of a config without `codec`.

    Plain Gaussians, centred on whole heatmap pixels (Xiao et al., ECCV 2018). ``hmsize`` (W, H) and ``sigma``
    are in heatmap pixels, ``peak`` is their height.
    """

    hmsize: tuple[int, int]
    sigma: float = 2
    peak: float = 1.0

    def make_codec(self, input_size: tuple[int, int]) -> Codec:
        """The codec of these targets for a network's input (w, h)."""
        return MSRAHeatmap(input_size, self.hmsize, self.sigma, peak=self.peak)


class UnbiasedTargets(HeatmapTargets):
    """`ToHeatmapsTopDown_DARK`: Gaussians centred on the exact point (DARK, Zhang et al., CVPR 2020)."""

    def make_codec(self, input_size: tuple[int, int]) -> Codec:
        """See `HeatmapTargets`."""
        return MSRAHeatmap(input_size, self.hmsize, self.sigma, unbiased=True, peak=self.peak)


class UDPTargets(HeatmapTargets):
    """`ToHeatmapsTopDown_UDP`: UDP's coordinates (Huang et al., CVPR 2020), as the warp's: use_udp: true."""

    def make_codec(self, input_size: tuple[int, int]) -> Codec:
        """See `HeatmapTargets`; ConfigError for a peak other than 1, UDP's."""
        if self.peak != 1:
            raise ConfigError(f"ToHeatmapsTopDown_UDP: peak is {self.peak}, expected 1 for UDP's heatmaps")
        return UDPHeatmap(input_size, self.hmsize, self.sigma)


@register(Transform)
@register(Transform, names=("ToHeatmapsTopDown",), settings=HeatmapTargets)
@register(Transform, names=("ToHeatmapsTopDown_DARK",), settings=UnbiasedTargets)
@register(Transform, names=("ToHeatmapsTopDown_UDP",), settings=UDPTargets)
class EncodeHeatmaps:
    """Reads keypoints (K, 2) in input pixels, visible (K,); adds heatmaps (K, H, W), target_weight (K, 1).

    The codec is the config's `codec`, or the one that the published name of this transform stands for.
    """

    def __init__(self, codec: Given[Codec]) -> None:
        self.codec = codec

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """See the class."""
        sample["heatmaps"], sample["target_weight"] = self.codec.encode(
            sample["keypoints"], sample["visible"]
        )
        return sample
