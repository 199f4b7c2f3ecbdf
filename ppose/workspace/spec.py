"""The three ways a config names a component and its arguments."""

from typing import Any


def read_spec(value: Any) -> tuple[Any, Any] | None:
    """(name, arguments) of `Name`, `{type: Name, ..}` (as written by `!Name {..}`) or `{Name: {..}}`.

    Arguments are None for a bare name: they are in the config's block of that name. None if the value is no
    spec. Works on plain values and on cells.
    """
    if isinstance(value, str):
        return value, None
    if not isinstance(value, dict):
        return None
    if "type" in value:
        return value["type"], {key: item for key, item in value.items() if key != "type"}
    if len(value) == 1:
        return next(iter(value.items()))
    return None
