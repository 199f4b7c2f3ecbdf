"""People's boxes in images: callables image (H, W, 3) uint8, RGB -> boxes_xyxy (N, 4), best first."""

from collections.abc import Callable

import numpy as np

PersonDetector = Callable[[np.ndarray], np.ndarray]
