"""Builds the objects that a checked config names."""

from typing import Any

from ppose.errors import ConfigError
from ppose.workspace.registry import get_entry
from ppose.workspace.signature import block_keys, given_names
from ppose.workspace.spec import read_spec


def create(name_or_spec: Any, cfg: dict[str, Any], **given: Any) -> Any:
    """Build a component from its spec and from the blocks of the config.

    ``name_or_spec`` is `"Name"` (its arguments stand in ``cfg["Name"]``), ``{"type": "Name", ..}`` or
    ``{"Name": {..}}``. Arguments that are components themselves are built first. ``given`` is offered to
    every component on the way: each takes those that its signature marks as `Given`.
    """
    spec = read_spec(name_or_spec)
    if spec is None:
        raise ConfigError(f"got {name_or_spec!r}, expected a component: Name, !Name {{..}} or Name: {{..}}")
    name, block = spec
    entry = get_entry(name)
    if isinstance(name_or_spec, str):
        block = cfg.get(name)
    arguments = {key: given[key] for key in given_names(entry) if key in given}
    keys = block_keys(entry)
    not_for_constructor = {*entry.ignored, *_settings_names(name)}
    for key, value in (block or {}).items():
        if key == "type" or key in not_for_constructor:
            continue
        if key in keys and keys[key].many:
            value = [create(item, cfg, **given) for item in value]
        elif key in keys and keys[key].kind and value is not None:
            value = create(value, cfg, **given)
        elif key in keys and keys[key].block is not None:
            value = keys[key].block(**value)
        arguments[key] = value
    return entry.target(**arguments)


def create_settings(name: str, cfg: dict[str, Any]) -> Any:
    """The settings object of a component: the keys of its block that others than its constructor read."""
    entry = get_entry(name)
    if entry.settings is None:
        raise ConfigError(
            f"'{name}' cannot stand here: it has no {name}.flip and the like; is it an architecture?"
        )
    block = cfg.get(name) or {}
    return entry.settings(**{key: block[key] for key in _settings_names(name) if key in block})


def _settings_names(name: str) -> tuple[str, ...]:
    settings = get_entry(name).settings
    return tuple(settings.__dataclass_fields__) if settings else ()
