"""Builds the objects of a checked config."""

from dataclasses import fields
from typing import Any

from ppose.errors import ConfigError
from ppose.workspace.registry import Entry, get_entry
from ppose.workspace.signature import block_keys, given_names, to_argument
from ppose.workspace.spec import read_spec


def create(name_or_spec: Any, cfg: dict[str, Any], **given: Any) -> Any:
    """Build a component from its spec and from the blocks of the config.

    ``name_or_spec`` is `"Name"` (with its arguments in ``cfg["Name"]``), ``{"type": "Name", ..}`` or
    ``{"Name": {..}}``. Arguments that are components themselves are built first. ``given`` is offered to
    every component on the way: each takes the parameters that its signature marks as `Given`.
    """
    entry, block = _find(name_or_spec, cfg)
    arguments = {key: given[key] for key in given_names(entry) if key in given}
    keys = block_keys(entry)
    not_for_constructor = {"type", *entry.ignored, *_settings_names(entry)}
    for key, value in block.items():
        if key in not_for_constructor:
            continue
        known = keys.get(key)
        if known is not None and known.many:
            value = [create(item, cfg, **given) for item in value]
        elif known is not None and known.kind is not None and value is not None:
            value = create(value, cfg, **given)
        elif known is not None and known.block is not None:
            value = known.block(**value)
        elif known is not None:
            value = to_argument(value, known.annotation)
        arguments[key] = value
    return entry.target(**arguments)


def create_settings(name_or_spec: Any, cfg: dict[str, Any]) -> Any:
    """The settings object of a component: the keys of its block that its constructor does not read.

    None for a component without such keys.
    """
    entry, block = _find(name_or_spec, cfg)
    if entry.settings is None:
        return None
    keys, names = block_keys(entry), _settings_names(entry)
    return entry.settings(**{k: to_argument(block[k], keys[k].annotation) for k in names if k in block})


def _find(name_or_spec: Any, cfg: dict[str, Any]) -> tuple[Entry, dict[str, Any]]:
    """The component of a spec, and its arguments from the spec or from the config's block of that name."""
    spec = read_spec(name_or_spec)
    if spec is None:
        raise ConfigError(f"got {name_or_spec!r}, expected a component: Name, !Name {{..}} or Name: {{..}}")
    name, block = spec
    return get_entry(name), (cfg.get(name) if isinstance(name_or_spec, str) else block) or {}


def _settings_names(entry: Entry) -> tuple[str, ...]:
    return tuple(field.name for field in fields(entry.settings)) if entry.settings else ()
