"""The keys of a component's config block, from its signature and annotations."""

import inspect
from dataclasses import dataclass, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typeguard

from ppose.paths import show_text
from ppose.workspace.registry import GIVEN, Entry, is_kind


@dataclass(frozen=True)
class Key:
    """One key of a block: its type, whether it is required, who reads it."""

    annotation: Any
    required: bool = False
    kind: type | None = None  # of the component in its spec; with `many`, of each in a list of specs
    many: bool = False
    block: type | None = None  # the dataclass whose fields are the keys of a block within the block


@cache
def block_keys(entry: Entry) -> dict[str, Key]:
    """The keys of a component's block: constructor parameters, settings for other code, ignored keys."""
    keys = dict.fromkeys(entry.ignored, Key(Any))
    for target in (entry.settings, entry.target) if entry.settings else (entry.target,):
        hints = _type_hints(target)
        for name, parameter in inspect.signature(target).parameters.items():
            annotation = hints.get(name, Any)
            if not _marked(annotation, GIVEN):
                keys[name] = _key(annotation, required=parameter.default is inspect.Parameter.empty)
    return keys


@cache
def given_names(entry: Entry) -> tuple[str, ...]:
    """The constructor's parameters that the caller of `create` passes."""
    hints = _type_hints(entry.target)
    return tuple(
        name for name in inspect.signature(entry.target).parameters if _marked(hints.get(name), GIVEN)
    )


def _type_hints(target: Any) -> dict[str, Any]:
    return get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)


def _marked(annotation: Any, mark: str) -> bool:
    return get_origin(annotation) is Annotated and mark in annotation.__metadata__


def _key(annotation: Any, *, required: bool) -> Key:
    kind = _kind(annotation)
    if kind is not None:
        return Key(annotation, required, kind)
    if isinstance(annotation, type) and is_dataclass(annotation):
        return Key(annotation, required, block=annotation)
    options = [a for a in get_args(annotation) if a is not NoneType]
    kind = _kind(options[0]) if len(options) == 1 else None
    is_optional = get_origin(annotation) in (Union, UnionType)
    return Key(annotation, required, kind, many=kind is not None and not is_optional)


def _kind(annotation: Any) -> type | None:
    marks = annotation.__metadata__ if get_origin(annotation) is Annotated else (annotation,)
    return next((mark for mark in marks if is_kind(mark)), None)


def type_error(value: Any, annotation: Any) -> str | None:
    """The error of a plain config value for this annotation: "got .., expected ..", or None."""
    try:
        if isinstance(value, bool) and not _admits_bool(annotation):
            raise typeguard.TypeCheckError("a boolean is not a number here")
        typeguard.check_type(
            to_argument(value, annotation),
            annotation,
            collection_check_strategy=typeguard.CollectionCheckStrategy.ALL_ITEMS,
        )
    except typeguard.TypeCheckError:
        return mismatch(value, describe(annotation))
    return None


def mismatch(value: Any, expected: str) -> str:
    """The message for a plain config value that differs from the expected one."""
    return f"got {show_text(repr(value), 200)}, expected {expected}"


def to_argument(value: Any, annotation: Any) -> Any:
    """A plain config value in the parameter's type: YAML has lists where a constructor may want a tuple."""
    return tuple(value) if isinstance(value, list) and get_origin(annotation) is tuple else value


def _admits_bool(annotation: Any) -> bool:
    if annotation in (bool, Any, object):
        return True
    return any(_admits_bool(a) for a in get_args(annotation) if isinstance(a, type) or get_origin(a))


def describe(annotation: Any) -> str:
    """An annotation as text for the author of a config."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return describe(arguments[0])
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (Union, UnionType):
        return " or ".join(describe(a) for a in arguments)
    if annotation is NoneType:
        return "nothing"
    if origin is tuple and ... not in arguments:
        return f"[{', '.join(describe(a) for a in arguments)}]"
    if origin is not None and issubclass(origin, dict):
        return "a mapping"
    if origin is not None:
        return f"a list of {describe(arguments[0])}" if arguments else "a list"
    words = {
        int: "int",
        float: "number",
        str: "text",
        bool: "true or false",
        dict: "a mapping",
        list: "a list",
    }
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))
