"""Loads a config file, with what it inherits and the overrides, into a checked plain dict."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ppose.errors import ConfigError
from ppose.workspace.cells import Cell, overlay, read_cells, to_plain
from ppose.workspace.check import check_config
from ppose.workspace.overrides import apply_override

_BASE = "_BASE_"
_DISTILL_LOSS = "distill_loss"


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a config file, lay it over its `_BASE_` files, apply `key.sub=value` overrides and check it all.

    Returns plain dicts, lists and scalars; `!Name {..}` becomes ``{"type": "Name", ..}``. Raises ConfigError
    that lists every problem with its file, line and dotted key.
    """
    root = _read(Path(path).expanduser(), ())
    for override in overrides:
        apply_override(root, override)
    _list_distill_loss(root)
    check_config(root, str(path))
    return to_plain(root)


def _list_distill_loss(root: Cell) -> None:
    """The published `distill_loss: {name: X, ..}` means the list `[{type: X, ..}]`."""
    cell = root.value.get(_DISTILL_LOSS)
    if cell is None:
        return
    losses = cell.value if isinstance(cell.value, list) else [cell]
    for index, loss in enumerate(losses):
        if isinstance(loss.value, dict) and "name" in loss.value and "type" not in loss.value:
            named = {"type" if key == "name" else key: value for key, value in loss.value.items()}
            losses[index] = Cell(named, loss.source)
    root.value[_DISTILL_LOSS] = Cell(losses, cell.source)


def _read(path: Path, children: tuple[Path, ...]) -> Cell:
    path = Path(path)
    if path.resolve() in children:
        raise ConfigError(f"{path}: inherits itself through its {_BASE} files")
    cells = read_cells(path)
    bases = cells.value.pop(_BASE, None)
    if bases is None:
        return cells
    names = to_plain(bases)
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"{bases.source}: {_BASE}: got {json.dumps(names)}, expected a file name or a list of them"
        )
    root = Cell({}, cells.source)
    for name in names:
        base = path.parent / Path(name).expanduser()
        if not base.is_file():
            raise ConfigError(f"{bases.source}: {_BASE}: no such file: {base}")
        overlay(root, _read(base, (*children, path.resolve())))
    overlay(root, cells)
    return root
