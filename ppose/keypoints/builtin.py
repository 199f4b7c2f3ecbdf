"""The built-in keypoint sets by name."""

from collections.abc import Mapping
from types import MappingProxyType

from ppose.errors import ConfigError
from ppose.keypoints.keypoint_set import KeypointSet
from ppose.keypoints.parts import FACE68, HAND21, WHOLEBODY133
from ppose.keypoints.people import AIC14, COCO17, CROWDPOSE14, HALPE26, MPII16, POSETRACK18
from ppose.keypoints.spacecraft import ENVISAT12, ENVISAT16, TANGO11
from ppose.workspace.registry import suggest

_SETS = (
    *(COCO17, MPII16, CROWDPOSE14, POSETRACK18, AIC14, HALPE26, WHOLEBODY133, HAND21, FACE68),
    *(TANGO11, ENVISAT16, ENVISAT12),
)
BUILTIN_SETS: Mapping[str, KeypointSet] = MappingProxyType({known.name: known for known in _SETS})


def get_keypoint_set(name: str) -> KeypointSet:
    """The built-in set of that name; raises ConfigError with the nearest known name."""
    if name not in BUILTIN_SETS:
        known = ", ".join(BUILTIN_SETS)
        raise ConfigError(
            f"unknown keypoint set '{name}', expected one of {known}{suggest(name, BUILTIN_SETS)}"
        )
    return BUILTIN_SETS[name]
