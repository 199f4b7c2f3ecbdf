"""Translates the network of an experiment file to our blocks."""

from collections.abc import Mapping, Sequence
from typing import Any

from ppose.errors import ConfigError

_HSRNETS = {"pose_hsrnet": False, "pose_hsr_msnet": True}
_DECONVS = {"pose_resnet": 3, "pose_hsrnet": 2, "pose_hsr_msnet": 2}
# Fixed properties of our networks.
_FIXED = {
    "MODEL.STYLE": "pytorch",  # caffe's ResNet strides elsewhere
    "MODEL.TARGET_TYPE": "gaussian",
    "MODEL.EXTRA.TARGET_TYPE": "gaussian",
    "MODEL.EXTRA.FINAL_CONV_KERNEL": 1,
    "MODEL.EXTRA.DECONV_WITH_BIAS": False,
}
_FIXED_OF_STAGES = {"BLOCK": "BASIC", "FUSE_METHOD": "SUM"}
_STAGES = {f"MODEL.EXTRA.STAGE{branches}": branches for branches in (2, 3, 4)}


def read_network(flat: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """The architecture, the file of its defaults, and the differences from these.

    Raises ConfigError for settings that our networks do not support.
    """
    for setting, value in _FIXED.items():
        if flat.get(setting, value) != value:
            raise ConfigError(f"{setting}: got {flat[setting]}, our networks have {value}")
    name = flat["MODEL.NAME"]
    if name == "pose_hrnet":
        return "TopDownHRNet", "_base_/hrnet.yml", _read_stages(flat)
    if name not in _DECONVS:
        known = ", ".join(("pose_hrnet", *_DECONVS))
        raise ConfigError(f"MODEL.NAME: got {name}, expected one of {known}")
    block = {
        "depth": flat.get("MODEL.EXTRA.NUM_LAYERS"),
        "deconv_channels": _read_deconvs(flat, _DECONVS[name]),
    }
    if name == "pose_resnet":
        return "PoseResNet", "_base_/pose_resnet.yml", {"PoseResNet": block}
    return "HSRNet", "_base_/hsrnet.yml", {"HSRNet": {**block, "multi_scale": _HSRNETS[name]}}


def _read_deconvs(flat: Mapping[str, Any], count: int) -> int:
    """The channels of the transposed convolutions."""
    prefix = "MODEL.EXTRA.NUM_DECONV_"
    kernels = flat.get(f"{prefix}KERNELS") or [4] * count
    if flat.get(f"{prefix}LAYERS", count) != count or kernels != [4] * count:
        raise ConfigError(
            f"{prefix}LAYERS, {prefix}KERNELS: got {flat.get(f'{prefix}LAYERS', count)} and {kernels}, "
            f"{flat['MODEL.NAME']} has {count} with kernels of 4"
        )
    return _one(f"{prefix}FILTERS", flat.get(f"{prefix}FILTERS") or [256], count)


def _read_stages(flat: Mapping[str, Any]) -> dict[str, Any]:
    """HRNet's width, and the numbers of modules and blocks in its stages."""
    stages = {name: flat.get(name) for name in _STAGES}
    if not all(isinstance(stage, dict) for stage in stages.values()):
        raise ConfigError("MODEL.EXTRA: expected STAGE2, STAGE3 and STAGE4")
    channels, blocks, modules = [], [], []
    for name, branches in _STAGES.items():
        stage = {key: flat[name].get(key) for key in ("NUM_CHANNELS", "NUM_BLOCKS", "NUM_MODULES")}
        missing = [key for key, value in stage.items() if value is None]
        if missing:
            raise ConfigError(f"{name}.{missing[0]} missing")
        for key, value in _FIXED_OF_STAGES.items():
            if flat[name].get(key, value) != value:
                raise ConfigError(f"{name}.{key}: got {flat[name][key]}, our networks have {value}")
        channels.append(_numbers(f"{name}.NUM_CHANNELS", stage["NUM_CHANNELS"], branches))
        blocks += _numbers(f"{name}.NUM_BLOCKS", stage["NUM_BLOCKS"], branches)
        modules += _numbers(f"{name}.NUM_MODULES", [stage["NUM_MODULES"]], 1)
    width = channels[0][0]
    if channels != [[width * 2**i for i in range(n)] for n in _STAGES.values()]:
        raise ConfigError(
            f"MODEL.EXTRA: NUM_CHANNELS are {channels}, expected each branch twice the one before"
        )
    return {"width": width, "HRNet": {"modules": modules, "blocks": _one("MODEL.EXTRA: NUM_BLOCKS", blocks)}}


def _numbers(name: str, values: Any, count: int) -> list[int]:
    """The values as ``count`` whole numbers of 1 or more."""
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(isinstance(value, int) and not isinstance(value, bool) and value > 0 for value in values)
    ):
        raise ConfigError(f"{name}: got {values}, expected {count} whole numbers of 1 or more")
    return values


def _one(name: str, values: Sequence[Any], count: int | None = None) -> Any:
    """The number that all values equal."""
    numbers = _numbers(name, values, count or len(values)) if len(values) > 1 or count is None else values
    if len(set(numbers)) != 1:
        raise ConfigError(f"{name}: got {list(values)}, expected equal numbers")
    return numbers[0]
