"""The registry: names that a config may use, and their classes or functions.

It holds no configs: these are values that are passed along.
"""

import difflib
import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from ppose.errors import ConfigError
from ppose.workspace.plugins import load_entry_points

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])

GIVEN = "ppose: given by the code that builds the component"

# `keypoint_set: Given[KeypointSet]` - never a config key; the caller of `create` passes it.
Given = Annotated[T, GIVEN]

# The registered name of the class whose fields are a config's top-level keys.
CONFIG = "<config>"

# The packages of components, in the order of the import direction. They are imported only to look up an
# unknown name, so that reading an inference config does not import networks or datasets.
_COMPONENT_PACKAGES = (
    "ppose.keypoints",
    "ppose.schedules",
    "ppose.codecs",
    "ppose.transforms",
    "ppose.metrics",
    "ppose.data",
    "ppose.models",
    "ppose.quantization.calibrate",
    "ppose.quantization.qat",
    "ppose.distillation.losses",
    "ppose.engine.optimizer",
    "ppose.engine.settings",
)


@dataclass(frozen=True)
class Entry:
    """A registered component; ``settings`` is the class of the block's keys that other code reads."""

    name: str
    target: Callable[..., Any]
    kind: type | None  # None: no component, but a block within a block
    settings: type | None = None
    ignored: tuple[str, ...] = ()


_entries: dict[str, Entry] = {}
_kinds: set[Any] = set()


def register(
    kind: type | None = None,
    *,
    names: Sequence[str] = (),
    settings: type | None = None,
    ignored: Sequence[str] = (),
) -> Callable[[C], C]:
    """Mark a class or function as a component that configs may name; its parameters are its block's keys.

    ``kind`` is the type that it creates, by default its own: for a parameter of that type, as in
    `backbone: Backbone`, or a list of it, a config names a component of the kind (`HRNet`, `!HRNet {..}` or
    `HRNet: {..}`) and the constructor gets the object. ``Annotated[str, Backbone]`` is for code that wants
    the spec instead of the object. ``names`` replaces the component's own name. ``settings`` is a dataclass
    of keys in the same block that other code reads (a network's block says whether to flip at test time).
    ``ignored`` keys are accepted in the block, with a warning that they have no effect.
    """

    def mark(component: C) -> C:
        of_kind: Any = kind or component
        _kinds.add(of_kind)
        for name in names or (component.__name__,):
            known = _entries.get(name)
            if known is not None and known.target.__module__ != component.__module__:
                raise ConfigError(
                    f"{known.target.__module__} and {component.__module__} both register '{name}'"
                )
            _entries[name] = Entry(name, component, of_kind, settings, tuple(ignored))
        return component

    return mark


def is_kind(annotation: Any) -> bool:
    """Whether an annotation is a type that registered components create."""
    return isinstance(annotation, type) and annotation in _kinds


def describe_kind(kind: type) -> str:
    """A kind as text: `DistillationLoss` is a "distillation loss"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()


def find_entry(name: str) -> Entry | None:
    """The entry of that name, or None; imports the component packages one by one until it is found.

    Those of third parties come last.
    """
    for package in _COMPONENT_PACKAGES:
        if name in _entries:
            break
        _import_package(package)
    if name not in _entries:
        load_entry_points()
    return _entries.get(name)


def get_entry(name: str) -> Entry:
    """The entry of that name; raises ConfigError with the nearest known names."""
    entry = find_entry(name)
    if entry is None:
        raise ConfigError(describe_unknown(name))
    return entry


def registered_names(kind: type | None = None) -> list[str]:
    """All names that configs may use, or those of one kind; imports every component package."""
    for package in _COMPONENT_PACKAGES:
        _import_package(package)
    load_entry_points()
    return [name for name, entry in _entries.items() if name != CONFIG and kind in (None, entry.kind)]


def describe_unknown(name: str, kind: type | None = None) -> str:
    """The message for an unknown component: the nearest name or all of the kind, and missing packages."""
    hint = suggest(name, registered_names())
    if not hint and kind is not None:
        hint = f"; expected one of {', '.join(registered_names(kind))}, or one of a --plugin"
    missing = sorted({package for package in map(_import_package, _COMPONENT_PACKAGES) if package})
    absent = f" (not installed, and needed by some components: {', '.join(missing)})" if missing else ""
    return f"unknown component '{name}'{hint}{absent}"


def _import_package(package: str) -> str | None:
    """Import a component package; return the name of a missing third-party package that it needs, or None."""
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] == "ppose":
            raise
        return error.name.partition(".")[0]
    return None


_LONGEST_WORD = 80  # longer words are not compared with known ones


def suggest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest of the known words, or an empty string."""
    if len(str(word)) > _LONGEST_WORD:
        return ""
    near = difflib.get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
