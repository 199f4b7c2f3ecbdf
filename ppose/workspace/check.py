"""Checks a config against its components before anything is built; reports all errors at once."""

import logging
from collections.abc import Callable
from typing import Annotated, Any, get_origin

from ppose.errors import ConfigError
from ppose.paths import show_text
from ppose.workspace.cells import Cell, first_places, to_plain
from ppose.workspace.registry import (
    CONFIG,
    Entry,
    describe_kind,
    describe_unknown,
    find_entry,
    get_entry,
    registered_names,
    suggest,
)
from ppose.workspace.signature import Key, block_keys, mismatch, type_error
from ppose.workspace.spec import read_spec

_logger = logging.getLogger(__name__)

_MOST_ERRORS = 30

# Keys of published configs without an effect here: accepted, with one warning that lists them. They come from
# PaddleDetection's runtime.yml, its mixed precision and moving average, and from PaddleX.
_IGNORED_KEYS = {
    "num_classes": "there is one class, person",
    "pixel_std": "scale is in image pixels",
    **dict.fromkeys(("use_xpu", "use_mlu", "use_npu", "use_gcu"), "CPU and GPU only"),
    **dict.fromkeys(
        ("amp", "amp_level", "master_grad", "init_loss_scaling", "custom_white_list", "custom_black_list"),
        "mixed precision is --amp",
    ),
    **dict.fromkeys(
        ("ema_decay_type", "ema_black_list", "ema_filter_no_grad", "ema_start_iters", "cycle_epoch"),
        "the moving average is use_ema and ema_decay",
    ),
    **dict.fromkeys(
        ("export", "hpi_config_path", "pdx_model_name", "uniform_output_enabled"), "exports take flags"
    ),
    **dict.fromkeys(("save_prediction_only", "output_eval"), "these are flags"),
    **dict.fromkeys(
        ("find_unused_parameters", "print_flops", "print_params", "fleet", "to_static", "log_ranks"),
        "not needed",
    ),
}


def check_config(root: Cell, name: str) -> None:
    """Raise one ConfigError that lists everything wrong, a line each: source, dotted key, got, expected."""
    check = _Check(root)
    check.run()
    if check.errors:
        raise ConfigError("\n".join(check.errors))
    if check.ignored:
        _logger.warning("%s: keys without effect here: %s", name, ", ".join(dict.fromkeys(check.ignored)))


def check_block(cell: Cell, component: Callable[..., Any]) -> None:
    """Raise one ConfigError unless a file's mapping holds the arguments of this class, by its signature."""
    check = _Check(cell)
    check.run_block(Entry(component.__name__, component, object), cell)
    if check.errors:
        raise ConfigError("\n".join(check.errors))


class _Check:
    def __init__(self, root: Cell) -> None:
        self.errors: list[str] = []
        self.ignored: list[str] = []
        self._root = root

    def run(self) -> None:
        """Check every key of the config; fills ``errors`` and ``ignored``."""
        root = self._root
        keys = block_keys(get_entry(CONFIG))
        places = first_places(root)
        for name, cell in root.value.items():
            if name in keys:
                self._value(keys[name], cell, name)
            elif name in _IGNORED_KEYS:
                self.ignored.append(f"{name} ({_IGNORED_KEYS[name]})")
            elif (entry := find_entry(name)) is not None:
                self._block(entry, cell, name)
            elif not (cell.has_alias and places[id(cell)] == (id(root), name)):
                # Anchors may have any name: other values refer to them.
                self._error(cell, name, f"unknown key{suggest(name, [*keys, *registered_names()])}")
        for name, key in keys.items():
            if key.required and name not in root.value:
                self.errors.append(f"{root.source}: {name}: missing")

    def run_block(self, entry: Entry, cell: Cell) -> None:
        """Check a mapping that is no config but one component's arguments."""
        self._block(entry, cell, "")

    def _block(self, entry: Entry, cell: Cell, path: str) -> None:
        """Check a component's arguments; `type`, which names the component, is none of them."""
        if cell.value is None:
            cell.value = {}
        if not isinstance(cell.value, dict):
            self._error(cell, path, mismatch(to_plain(cell), f"a block of {entry.name}'s arguments"))
            return
        keys = block_keys(entry)
        for name, child in cell.value.items():
            if name in entry.ignored:
                self.ignored.append(name)
            elif name in keys:
                self._value(keys[name], child, _join(path, name))
            elif name != "type" or entry.kind is None:
                takes = ", ".join(keys) or "no arguments"
                hint = suggest(name, keys) or f" ({entry.name} takes {takes})"
                self._error(child, _join(path, name), f"unknown key{hint}")
        self._missing(entry, cell, path, cell.value)

    def _missing(self, entry: Entry, cell: Cell, path: str, block: dict[str, Any]) -> None:
        for name, key in block_keys(entry).items():
            if key.required and name not in block:
                self._error(cell, _join(path, name), f"missing, {entry.name} needs it")

    def _value(self, key: Key, cell: Cell, path: str) -> None:
        if key.block is not None:
            self._block(Entry(path.rpartition(".")[2], key.block, None), cell, path)
            return
        is_typed = key.kind is None or get_origin(key.annotation) is Annotated
        if is_typed and (problem := type_error(to_plain(cell), key.annotation)):
            self._error(cell, path, problem)
        elif key.kind is None:
            return
        elif key.many and isinstance(cell.value, list):
            for index, item in enumerate(cell.value):
                self._spec(item, f"{path}.{index}", key.kind)
        elif key.many:
            self._error(cell, path, mismatch(to_plain(cell), "a list of components"))
        elif cell.value is not None or key.required:
            self._spec(cell, path, key.kind)

    def _spec(self, cell: Cell, path: str, kind: type) -> None:
        name, arguments = read_spec(cell.value) or (None, None)
        name = name.value if isinstance(name, Cell) else name
        if not isinstance(name, str):
            expected = "a component: Name, !Name {..} or Name: {..}"
            self._error(cell, path, mismatch(to_plain(cell), expected))
            return
        entry = find_entry(name)
        if entry is None:
            self._error(cell, path, describe_unknown(name, kind))
        elif entry.kind is not kind:
            self._error(cell, path, f"got {name}, which is no {describe_kind(kind)}")
        elif isinstance(cell.value, dict):
            block = arguments if isinstance(arguments, Cell) else Cell(arguments, cell.source)
            self._block(entry, block, path if "type" in cell.value else f"{path}.{name}")
        elif name not in self._root.value:  # a bare name without a block: every argument has its default
            self._missing(entry, cell, name, {})

    def _error(self, cell: Cell, path: str, problem: str) -> None:
        self.errors.append(f"{cell.source}: {show_text(path, 200)}: {problem}")
        if len(self.errors) >= _MOST_ERRORS:
            raise ConfigError("\n".join([*self.errors, "there may be more errors than these"]))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
