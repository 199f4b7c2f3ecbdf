"""The registry: names that a config may use, and the classes or functions behind them.

It holds classes only; configs are values that are passed along.
"""

import difflib
import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from ppose.errors import ConfigError

T = TypeVar("T")

GIVEN = "ppose: given by the code that builds the component"

# `keypoint_set: Given[KeypointSet]` - never a config key; the caller of `create` hands it over.
Given = Annotated[T, GIVEN]


@dataclass(frozen=True)
class Component:
    """Marks a parameter whose config value names a component of that kind; the constructor gets the object.

    `backbone: Annotated[nn.Layer, Component("backbone")]` stands in configs as `HRNet`, `!HRNet {..}` or
    `HRNet: {..}`.
    """

    kind: str


# Where components live, in the order of the import direction. Imported only when a name is looked up that
# is not known yet, so that reading an inference config does not import networks or datasets.
_COMPONENT_PACKAGES = (
    "ppose.keypoints",
    "ppose.transforms",
    "ppose.data",
    "ppose.models",
    "ppose.quantization.calibrate",
    "ppose.quantization.qat",
    "ppose.distillation.losses",
    "ppose.engine.optimizer",
)


@dataclass(frozen=True)
class Entry:
    """A registered component; ``settings`` is the class of the keys in its block that others read."""

    name: str
    target: Callable[..., Any]
    kind: str
    settings: type | None = None
    ignored: tuple[str, ...] = ()


_entries: dict[str, Entry] = {}


def register(
    target: Callable[..., Any] | None = None,
    *,
    kind: str = "",
    names: Sequence[str] = (),
    settings: type | None = None,
    ignored: Sequence[str] = (),
) -> Any:
    """Mark a class or function as a component that configs may name; its parameters are its block's keys.

    ``kind`` is what it may stand for in a config (see `Component`). ``names`` replaces its own name.
    ``settings`` is a dataclass of keys that stand in the same block but are read by others (a network's block
    says whether to flip at test time). ``ignored`` keys are accepted in the block, with a warning that they
    have no effect.
    """

    def mark(component: Callable[..., Any]) -> Callable[..., Any]:
        for name in names or (component.__name__,):
            known = _entries.get(name)
            if known is not None and known.target.__module__ != component.__module__:
                raise ValueError(
                    f"{known.target.__module__} and {component.__module__} both register '{name}'"
                )
            _entries[name] = Entry(name, component, kind, settings, tuple(ignored))
        return component

    return mark if target is None else mark(target)


def find_entry(name: str) -> Entry | None:
    """The entry of that name, or None; imports the component packages one by one until it is found."""
    for package in _COMPONENT_PACKAGES:
        if name in _entries:
            break
        importlib.import_module(package)
    return _entries.get(name)


def get_entry(name: str) -> Entry:
    """The entry of that name; raises ConfigError with the nearest known names."""
    entry = find_entry(name)
    if entry is None:
        raise ConfigError(f"unknown component '{name}'{suggest(name, registered_names())}")
    return entry


def registered_names() -> list[str]:
    """All names that configs may use; imports every component package."""
    for package in _COMPONENT_PACKAGES:
        importlib.import_module(package)
    return list(_entries)


def suggest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest of the known words, or an empty string."""
    near = difflib.get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
