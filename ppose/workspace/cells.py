"""Cells: values of a config that know their file and line; an alias shares the cell of its anchor.

Aliases stay references until the end, so that changing an anchored value (by an inheriting config or an
override) changes every place that refers to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ppose.errors import ConfigError

MAX_VALUES = 100_000  # far more than any config has; reading them takes a second

Places = dict[int, tuple[int, str | int]]


@dataclass(eq=False)
class Cell:
    """One value of a config: a scalar, a dict of cells or a list of cells; an alias is the same object."""

    value: Any
    source: str  # "configs/a.yml:12", or "-o a.b"
    has_alias: bool = False  # is, or once was, in more than one place

    def take(self, other: "Cell") -> None:
        """Become a copy of the other cell; whoever refers to this one sees the new value."""
        self.value, self.source = other.value, other.source
        self.has_alias = self.has_alias or other.has_alias


def children(cell: Cell) -> Iterator[tuple[str | int, Cell]]:
    """Keys and cells directly below a mapping or list."""
    if isinstance(cell.value, dict):
        yield from cell.value.items()
    elif isinstance(cell.value, list):
        yield from enumerate(cell.value)


def first_places(root: Cell) -> Places:
    """For every cell the place (parent's id, key) where it occurs first: its anchor; others are aliases."""
    places: Places = {}

    def visit(cell: Cell) -> None:
        for key, child in children(cell):
            if id(child) not in places:
                places[id(child)] = (id(cell), key)
                visit(child)

    visit(root)
    return places


def copy_cells(cell: Cell) -> Cell:
    """A deep copy of the cell, with the same aliases."""
    copies: dict[int, Cell] = {}

    def copy(old: Cell) -> Cell:
        if id(old) not in copies:
            new = copies[id(old)] = Cell(old.value, old.source, old.has_alias)
            if isinstance(old.value, dict):
                new.value = {key: copy(child) for key, child in old.value.items()}
            elif isinstance(old.value, list):
                new.value = [copy(child) for child in old.value]
        return copies[id(old)]

    return copy(cell)


def overlay(base: Cell, top: Cell) -> None:
    """Lay a config over the one it inherits from, in place.

    Mappings merge key by key, anything else replaces. A value that replaces an anchored one also moves the
    aliases of that anchor, in both files. A block whose `type` changes is replaced whole.
    """
    places = first_places(base)
    replaced: dict[int, Cell] = {}

    def merge(below: Cell, above: Cell) -> None:
        for key, cell in above.value.items():
            old = below.value.get(key)
            if old is None or places.get(id(old)) != (id(below), key):
                below.value[key] = cell
            elif isinstance(old.value, dict) and isinstance(cell.value, dict) and not _new_type(old, cell):
                merge(old, cell)
            else:
                old.take(cell)
                replaced[id(cell)] = old

    merge(base, top)
    _substitute(base, replaced)


def _new_type(old: Cell, new: Cell) -> bool:
    kinds = [cell.value["type"].value if "type" in cell.value else None for cell in (old, new)]
    return kinds[1] is not None and kinds[0] != kinds[1]


def _substitute(root: Cell, replaced: dict[int, Cell]) -> None:
    seen: set[int] = set()
    stack = [root]
    while stack:
        cell = stack.pop()
        if id(cell) in seen:
            continue
        seen.add(id(cell))
        for key, child in list(children(cell)):
            cell.value[key] = replaced.get(id(child), child)
        stack.extend(child for _, child in children(cell))


def to_plain(cell: Cell) -> Any:
    """Plain dicts, lists and scalars, nothing shared."""
    budget = [MAX_VALUES]

    def convert(current: Cell) -> Any:
        budget[0] -= 1
        if budget[0] < 0:
            raise ConfigError(f"{cell.source}: the config holds more than {MAX_VALUES} values")
        if isinstance(current.value, dict):
            return {key: convert(child) for key, child in current.value.items()}
        if isinstance(current.value, list):
            return [convert(child) for child in current.value]
        return current.value

    return convert(cell)
