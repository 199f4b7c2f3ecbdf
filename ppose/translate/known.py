"""Experiment files of the official HRNet code and its descendants that we have as configs."""

import re

# The experiment files that we have as configs, by the end of their path.
_SIZE = r"(?P<size>256x192|384x288)"
_EXPERIMENTS = [
    (rf"coco/hsrnet(?P<n>59|110|161)/{_SIZE}_d256x3_adam_lr1e-3", "hsrnet_{n}_{size}_coco"),
    (rf"coco/hsr-msnet(?P<n>59|110|161)/{_SIZE}_d256x3_adam_lr1e-3", "hsr_msnet_{n}_{size}_coco"),
    (rf"coco/hrnet/w(?P<n>32|48)_{_SIZE}_adam_lr1e-3", "hrnet_w{n}_{size}"),
    (r"mpii/hrnet/w(?P<n>32|48)_256x256_adam_lr1e-3", "hrnet_w{n}_256x256_mpii"),
    (rf"coco/resnet(/res)?(?P<n>50|101|152)[/_]{_SIZE}_d256x3_adam_lr1e-3", "pose_resnet_{n}_{size}_coco"),
    (r"mpii/resnet(/res)?(?P<n>50|101|152)[/_]256x256_d256x3_adam_lr1e-3", "pose_resnet_{n}_256x256_mpii"),
    (r"EXP/EXP3_w32small_.*", "hrnet_small_256x256_envisat16"),
    (r"EXP/EXP7_w32smaller_.*", "hrnet_smaller_256x256_envisat12"),
    (r"coco/hrnet/w32_512x512_adam_lr1e-3_ENVISAT.*", "hrnet_w32_512x512_envisat16"),
    (r"coco/hrnet/w32_256x192_adam_lr1e-3_SPEED.*", "hrnet_w32_256x256_tango11"),
]


def find_experiment(path: str) -> str | None:
    """The name of our config for that experiment; None if there is none."""
    posix = _bare(path)
    for pattern, template in _EXPERIMENTS:
        match = re.search(rf"(^|/){pattern}$", posix)
        if match:
            return template.format(**match.groupdict())
    return None


def name_experiment(path: str) -> str:
    """The name of our config for an experiment file: the one we have, or the last two parts of its path."""
    return find_experiment(path) or "_".join(_bare(path).split("/")[-2:])


def _bare(path: str) -> str:
    return path.replace("\\", "/").removesuffix(".yaml").removesuffix(".yml")
