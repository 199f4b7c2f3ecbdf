"""Loads a config file, with its inherited files and overrides, into a checked plain dict."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ppose.errors import ConfigError
from ppose.paths import expand_path, show_name, show_text
from ppose.workspace.cells import Cell, copy_cells, overlay, to_plain
from ppose.workspace.check import check_config
from ppose.workspace.overrides import apply_override, has_effect
from ppose.workspace.registry import suggest
from ppose.workspace.yaml_file import read_cells

_logger = logging.getLogger(__name__)

_BASE = "_BASE_"
_MOST_BASES = 200  # inherited files
_DISTILL_LOSS = "distill_loss"
_PACKAGE = Path(__file__).resolve().parent.parent

# The configs that come with ppose: in an installed package, or beside it in a clone.
BUILTIN = next(folder for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if folder.is_dir())


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a config file, lay it over its `_BASE_` files, apply `key.sub=value` overrides and check it all.

    ``path`` is a file, or the name of a config that comes with ppose, such as `tinypose_256x192`. Returns
    plain dicts, lists and scalars; `!Name {..}` becomes ``{"type": "Name", ..}``, and `~` and `$NAME` are
    resolved in texts. Raises ConfigError that lists every problem with its file, line and dotted key.
    """
    if isinstance(overrides, str) or not all(isinstance(override, str) for override in overrides):
        raise ConfigError(f"overrides are {overrides!r}, expected a list of texts such as ['epoch=3']")
    files = _Files()
    root = files.read(find_config(Path(expand_path(str(path)))), ())
    if idle := [key for key in files.own_keys if not has_effect(root, key)]:
        _logger.warning("%s: values that nothing in this config takes: %s", path, ", ".join(idle))
    for override in overrides:
        apply_override(root, override)
    _list_distill_loss(root)
    check_config(root, str(path))
    return _expand_paths(to_plain(root))


def _expand_paths(value: Any) -> Any:
    """The value with `~` and environment variables resolved in all its texts: see `expand_path`."""
    if isinstance(value, dict):
        return {key: _expand_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand_paths(item) for item in value]
    return expand_path(value) if isinstance(value, str) else value


def find_config(path: Path) -> Path:
    """The config file at that path, or else the one of that name (with or without `.yml`) in `BUILTIN`.

    Raises ConfigError with the nearest name if there is neither.
    """
    if path.is_file():
        return path
    builtin = BUILTIN / path
    for file in (builtin, builtin.with_name(f"{builtin.name}.yml")):
        if not path.is_absolute() and ".." not in path.parts and file.is_file():
            return file
    names = [file.stem for file in BUILTIN.glob("*.yml")]
    raise ConfigError(f"config file not found: {show_name(path)}{suggest(path.stem, names)}")


def _list_distill_loss(root: Cell) -> None:
    """Turn the published form `distill_loss: {name: X, ..}` into the list `[{type: X, ..}]`."""
    cell = root.value.get(_DISTILL_LOSS)
    if cell is None:
        return
    losses = cell.value if isinstance(cell.value, list) else [cell]
    for index, loss in enumerate(losses):
        if isinstance(loss.value, dict) and "name" in loss.value and "type" not in loss.value:
            named = {"type" if key == "name" else key: value for key, value in loss.value.items()}
            losses[index] = Cell(named, loss.source)
    root.value[_DISTILL_LOSS] = Cell(losses, cell.source)


class _Files:
    """Reads a config with its `_BASE_` files, each only once; ``own_keys`` are those of the first one."""

    def __init__(self) -> None:
        self.own_keys: list[str] = []
        self._whole: dict[Path, Cell] = {}
        self._laid = 0

    def read(self, path: Path, children: tuple[Path, ...]) -> Cell:
        """The config at that path merged with its bases; ``children`` are the files that inherit it."""
        place = path.resolve()
        if place in children:
            raise ConfigError(f"{show_name(path)}: inherits itself through its {_BASE} files")
        if place not in self._whole:
            self._whole[place] = self._over_bases(path, (*children, place))
        return copy_cells(self._whole[place]) if children else self._whole[place]

    def _over_bases(self, path: Path, children: tuple[Path, ...]) -> Cell:
        cells = read_cells(path)
        bases = cells.value.pop(_BASE, None)
        if len(children) == 1:
            self.own_keys = list(cells.value)
        if bases is None:
            return cells
        names = to_plain(bases)
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ConfigError(
                f"{bases.source}: {_BASE}: got {show_text(json.dumps(names))}, "
                "expected a file name or a list of them"
            )
        self._laid += len(names)
        if self._laid > _MOST_BASES:
            raise ConfigError(f"{bases.source}: {_BASE}: more than {_MOST_BASES} files are inherited")
        root = Cell({}, cells.source)
        for name in names:
            overlay(root, self.read(_find_base(path.parent, name, bases.source), children))
        overlay(root, cells)
        return root


def _find_base(folder: Path, name: str, source: str) -> Path:
    """Find an inherited config: beside the inheriting one, or else among those that come with ppose."""
    name = expand_path(name)
    file = folder / name
    try:
        return file if file.is_file() else find_config(Path(name))
    except ConfigError:
        raise ConfigError(f"{source}: {_BASE}: no such file: {show_name(file)}") from None
