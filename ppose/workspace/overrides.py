"""Command-line overrides: `-o key.sub=value`, applied to a config's cells before anything is built."""

from collections.abc import Iterator

from ppose.errors import ConfigError
from ppose.paths import is_text
from ppose.workspace.cells import Cell, Places, children, first_places
from ppose.workspace.registry import CONFIG, find_entry, suggest
from ppose.workspace.signature import block_keys
from ppose.workspace.yaml_file import parse_cells


def apply_override(root: Cell, text: str) -> None:
    """Apply one override, in place.

    ``text`` is `path=value` with the value in YAML. The path's parts are keys, indexes into lists, or the
    name of a component in a list. The key must be in the config or be a parameter of the block's component;
    `+path=value` adds a missing key, and the missing blocks above it. If the value is anchored, its aliases
    change with it; if it is an alias, only this place changes.

    Raises ConfigError for an unknown path, with the nearest known key, and for a top-level key that nothing
    refers to any more, for instance because an inheriting config has its own transforms.
    """
    path, equals, value_text = text.partition("=")
    adds = path.startswith("+")
    parts = path.removeprefix("+").strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(
            f"override '{text}': expected key=value or key.sub=value, such as -o weights=model.pdparams"
        )
    source = f"-o {path}"
    # YAML accepts only UTF-8, but a path may have other bytes.
    value = parse_cells(value_text, source, lines=False) if is_text(value_text) else Cell(value_text, source)
    places = first_places(root)
    holder = root
    for depth, part in enumerate(parts[:-1]):
        holder = _step(root, holder, part, parts[: depth + 1], places, adds=adds)
    _place(root, holder, parts, value, places, adds=adds)


def _place(root: Cell, holder: Cell, parts: list[str], value: Cell, places: Places, *, adds: bool) -> None:
    key = _find(holder, parts[-1])
    if key is not None:
        old = holder.value[key]
        if holder is root and not has_effect(root, str(key)):
            raise ConfigError(
                f"override '{key}': nothing in this config takes it, its blocks have values of their own"
            )
        if places.get(id(old)) == (id(holder), key):
            old.take(value)
        else:
            holder.value[key] = value
        return
    if not isinstance(holder.value, dict):
        raise _nowhere(root, holder, parts)
    if not adds and parts[-1] not in _known_keys(parts[:-1], holder):
        raise _nowhere(root, holder, parts)
    holder.value[parts[-1]] = value


def _step(root: Cell, holder: Cell, part: str, path: list[str], places: Places, *, adds: bool) -> Cell:
    key = _find(holder, part)
    if key is None:
        block_of_used = holder is root and find_entry(part) is not None and _names(root, part)
        if not isinstance(holder.value, dict) or not (adds or block_of_used):
            raise _nowhere(root, holder, path)
        key = part
        holder.value[key] = Cell({}, f"-o {'.'.join(path)}")
        return holder.value[key]
    child = holder.value[key]
    if isinstance(holder.value, list) and isinstance(child.value, dict) and list(child.value) == [part]:
        return _step(root, child, part, path, places, adds=adds)  # an item `- Name: {..}` of a list
    if places.get(id(child)) != (id(holder), key) and isinstance(child.value, dict | list):
        child = Cell(child.value.copy(), child.source)  # an aliased block: only this place changes
        holder.value[key] = child
    if child.value is None:
        child.value = {}
    return child


def _find(holder: Cell, part: str) -> str | int | None:
    """The key, index or list item that the part of a path names; None if there is none."""
    if isinstance(holder.value, dict):
        return part if part in holder.value else None
    if not isinstance(holder.value, list):
        return None
    if part.removeprefix("-").isdecimal():
        index = int(part)
        return index % len(holder.value) if -len(holder.value) <= index < len(holder.value) else None
    for index, item in enumerate(holder.value):
        if isinstance(item.value, dict):
            kind = item.value["type"].value if "type" in item.value else None
            if part == kind or list(item.value) == [part]:
                return index
    return None


def _known_keys(path: list[str], holder: Cell) -> list[str]:
    """The keys that the block at this path may hold, without those it already holds."""
    name = path[-1] if path else CONFIG
    if isinstance(holder.value, dict) and "type" in holder.value:
        name = str(holder.value["type"].value)
    entry = find_entry(name)
    return list(block_keys(entry)) if entry else []


def has_effect(root: Cell, key: str) -> bool:
    """Whether a key at the top is a config's or a component's, or an anchored value that others refer to."""
    cell = root.value[key]
    if not cell.has_alias or key in _known_keys([], root) or find_entry(key) is not None:
        return True
    return sum(child is cell for child in _list_cells(root)) > 1


def _names(root: Cell, word: str) -> bool:
    """Whether any value in the config is this word, as `backbone: HRNet` names HRNet."""
    return any(cell.value == word for cell in _list_cells(root))


def _list_cells(root: Cell) -> Iterator[Cell]:
    """The cells at all places below the root, one that stands in several as often."""
    stack, seen = [root], set()
    while stack:
        cell = stack.pop()
        if id(cell) not in seen:
            seen.add(id(cell))
            below = [child for _, child in children(cell)]
            yield from below
            stack.extend(below)


def _nowhere(root: Cell, holder: Cell, path: list[str]) -> ConfigError:
    where = ".".join(path)
    if isinstance(holder.value, dict):
        known = {*holder.value, *_known_keys(path[:-1], holder)} - {path[-1]}
        hint = suggest(path[-1], known) or f" (+{where}=... adds it)"
        return ConfigError(f"override '{where}': no such key in this config{hint}")
    if isinstance(holder.value, list):
        return ConfigError(f"override '{where}': no such item in a list of {len(holder.value)}")
    return ConfigError(f"override '{where}': {'.'.join(path[:-1])} is a value, it has no keys")
