"""The protocol of codecs."""

from typing import Any, ClassVar, Protocol

import numpy as np


class Codec(Protocol):
    """Encodes keypoints as heatmaps for training, and decodes heatmaps to keypoints.

    N people, K keypoints. ``input_size`` (w, h) is the network's, ``heatmap_size`` (W, H) that of its maps,
    in pixels; ``stride`` (2,) is input pixels per heatmap pixel, (x, y). ``peak`` is the height of a target.
    ``mirrors``: a mirrored image has exactly mirrored heatmaps, as with UDP; otherwise the flip test shifts
    them by a pixel. A codec is a dataclass: its fields are stored beside an exported model.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def input_size(self) -> tuple[int, int]: ...

    @property
    def heatmap_size(self) -> tuple[int, int]: ...

    @property
    def peak(self) -> float: ...

    @property
    def mirrors(self) -> bool: ...

    @property
    def stride(self) -> np.ndarray: ...

    def encode(self, keypoints: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (K, 2) in input pixels, visible (K,) -> heatmaps (K, H, W), target_weight (K, 1)."""

    def decode(self, heatmaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Heatmaps (N, K, H, W), unchanged -> keypoints (N, K, 2) in input pixels, scores (N, K)."""

    def with_dark(self, use_dark: bool) -> "Codec":
        """The same codec, decoding with or without DARK's step; ConfigError if it has no choice."""
