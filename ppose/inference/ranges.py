"""Checks the ranges of numbers in files from elsewhere."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ppose.errors import ConfigError
from ppose.paths import show_text
from ppose.workspace.registry import find_entry
from ppose.workspace.spec import read_spec

LONGEST_SIDE = 4096  # pixels, of an input or a heatmap
_MOST_BATCH = 1024
_BOX_PADDING = (0.1, 10.0)
_PEAK = (1e-6, 1e6)
# Those of ppose's own transforms that inference can use.
_ALLOWED = {
    "sample_transforms": ("TopDownEvalAffine", "TopDownAffine"),
    "batch_transforms": ("NormalizeImage", "Permute"),
}
_OWN = "ppose."


def check_sides(name: str, size: Sequence[object]) -> tuple[int, int]:
    """Two sides of an input, as whole numbers; ConfigError unless they are 1 to 4096."""
    sides = [
        int(side) for side in size if isinstance(side, int | float) and side in range(1, LONGEST_SIDE + 1)
    ]
    if len(size) != 2 or len(sides) != 2:
        got = show_text(str(list(size)[:3]))
        raise ConfigError(f"{name} is {got}, expected two whole numbers from 1 to {LONGEST_SIDE}")
    return sides[0], sides[1]


def check_infer_cfg(cfg: Mapping[str, Any]) -> None:
    """Raise ConfigError if `infer_cfg.yml` has values that no export has; types are already checked.

    It is checked before anything is built from it, and before it is written.
    """
    size = check_sides("input_size", cfg["input_size"])
    batch = cfg["batch"]
    if batch is not None:
        check_number("batch", batch, (1, _MOST_BATCH))
    check_number("box_padding", cfg.get("box_padding", 1.25), _BOX_PADDING)
    for side in cfg.get("stride", ()):
        check_number("stride", side, (1e-3, LONGEST_SIDE))
    _, codec = read_spec(cfg["codec"]) or (None, None)
    codec = codec if isinstance(codec, Mapping) else {}
    if "heatmap_size" in codec:
        heatmap_size = check_sides("codec: heatmap_size", codec["heatmap_size"])
        check_number("codec: sigma", codec.get("sigma", 2.0), (1e-2, max(heatmap_size)))
    check_number("codec: peak", codec.get("peak", 1.0), _PEAK)
    for place, allowed in _ALLOWED.items():
        for spec in cfg[place]:
            name, arguments = read_spec(spec) or (None, None)
            if name not in allowed and _is_own(name):
                expected = " or ".join(allowed)
                raise ConfigError(f"{place}: got {show_text(name)}, which inference does not use: {expected}")
            trainsize = arguments.get("trainsize", size) if isinstance(arguments, Mapping) else size
            if check_sides(f"{place}: trainsize", trainsize) != size:
                raise ConfigError(f"{place}: trainsize is not the input_size {list(size)}")


def check_number(name: str, value: float, limits: tuple[float, float]) -> None:
    """Raise ConfigError unless a number is within the limits (inclusive)."""
    low, high = limits
    if not (math.isfinite(value) and low <= value <= high):
        raise ConfigError(f"{name} is {show_text(value)}, expected {low:g} to {high:g}")


def _is_own(name: object) -> bool:
    """Whether a component is unknown or ppose's own, not a third party's."""
    entry = find_entry(name) if isinstance(name, str) else None
    return entry is None or str(entry.target.__module__).startswith(_OWN)
