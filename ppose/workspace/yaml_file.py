"""Reads a YAML file into cells."""

import math
import re
from pathlib import Path
from typing import Any

import yaml

from ppose.errors import ConfigError
from ppose.paths import show_name, show_text
from ppose.workspace.cells import MAX_VALUES, Cell, children

_STANDARD = "tag:yaml.org,2002:"
# Limits of a config: far above any real one; reading that much takes a second.
_MAX_BYTES = 4 << 20
_MAX_DEPTH = 50
_LONGEST_NUMBER = 100  # characters

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C version if available

_TEXTS = (_STANDARD + "str", _STANDARD + "timestamp")


class _Loader(_Base):  # type: ignore[misc]
    """SafeLoader that reads `1e-3` as a float, as YAML 1.2 does."""


_Loader.yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    _STANDARD + "float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_cells(path: Path) -> Cell:
    """Read a YAML file; raises ConfigError with file and line for anything that is not a plain config."""
    shown = show_name(path)
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        text = raw.decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"config file not found: {shown}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read config file {shown}: {error}") from None
    if len(raw) > _MAX_BYTES:
        raise ConfigError(f"{shown}: larger than {_MAX_BYTES:,} bytes; is it a config?")
    root = parse_cells(text, shown)
    if root.value is None:
        root.value = {}
    if not isinstance(root.value, dict):
        raise ConfigError(f"{shown}: a config is a mapping of keys to values, this file holds something else")
    return root


def parse_cells(text: str, name: str, *, lines: bool = True) -> Cell:
    """Parse YAML text; ``name`` (with the line unless ``lines`` is False) becomes each cell's source."""
    try:
        _check_depth(text, name)
        node = yaml.compose(text, Loader=_Loader)
        return Cell(None, name) if node is None else _CellBuilder(name, lines).build(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark and lines else name
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{where}: not valid YAML: {show_text(' '.join(problem.split()), 200)}") from None


def _check_depth(text: str, name: str) -> None:
    """Raise ConfigError for deep nesting before it is parsed: the C parser would run out of stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise ConfigError(f"{name}:{line}: {_TOO_DEEP}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


_TOO_DEEP = f"nested too deeply, expected at most {_MAX_DEPTH} levels"


class _CellBuilder:
    def __init__(self, name: str, lines: bool) -> None:
        self._name, self._lines = name, lines
        self._built: dict[int, Cell] = {}
        self._sizes: dict[int, tuple[int, int]] = {}  # values and levels of each cell, including its aliases
        self._merged_left = MAX_VALUES
        self._open: set[int] = set()
        self._scalars = _Loader("")

    def build(self, node: yaml.Node) -> Cell:
        """The cell of a node: the same one for the anchor and its aliases."""
        known = self._built.get(id(node))
        if known is not None:
            known.has_alias = True
            return known
        source = self._source(node)
        if id(node) in self._open:
            raise ConfigError(f"{source}: an anchor that contains itself")
        self._open.add(id(node))
        if len(self._open) > _MAX_DEPTH:
            raise ConfigError(f"{source}: {_TOO_DEEP}")
        cell = Cell(self._value(node, source), source)
        self._open.discard(id(node))
        self._measure(cell)
        self._built[id(node)] = cell
        return cell

    def _measure(self, cell: Cell) -> None:
        sizes = [self._sizes.get(id(child), (1, 1)) for _, child in children(cell)]
        count, depth = 1 + sum(size[0] for size in sizes), 1 + max((size[1] for size in sizes), default=0)
        if count > MAX_VALUES:
            raise ConfigError(f"{cell.source}: the config holds more than {MAX_VALUES} values")
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{cell.source}: {_TOO_DEEP}")
        self._sizes[id(cell)] = count, depth

    def _source(self, node: yaml.Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}" if self._lines else self._name

    def _value(self, node: yaml.Node, source: str) -> Any:
        tag = self._component_tag(node, source)
        if isinstance(node, yaml.MappingNode):
            value = self._mapping(node)
            if tag is None:
                return value
            if "type" in value:
                raise ConfigError(f"{source}: !{tag} has a key 'type' of its own")
            return {"type": Cell(tag, source), **value}
        if isinstance(node, yaml.SequenceNode):
            if tag is not None:
                raise ConfigError(f"{source}: !{tag} must hold a mapping, not a list")
            return [self.build(item) for item in node.value]
        if tag is None:
            return self._scalar(node, source)
        if node.value:
            raise ConfigError(f"{source}: !{tag} must hold a mapping, got '{show_text(node.value)}'")
        return {"type": Cell(tag, source)}

    def _component_tag(self, node: yaml.Node, source: str) -> str | None:
        if node.tag.startswith(_STANDARD):
            kind = node.tag[len(_STANDARD) :]
            if kind not in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge"):
                raise ConfigError(f"{source}: the tag !!{show_text(kind)} is not allowed in a config")
            return None
        tag = node.tag.lstrip("!")
        if not tag.isidentifier():
            raise ConfigError(f"{source}: the tag {show_text(node.tag)} is not the name of a component")
        return tag

    def _scalar(self, node: yaml.Node, source: str) -> Any:
        if node.tag in _TEXTS:
            return node.value
        shown, kind = show_text(node.value), node.tag.removeprefix(_STANDARD)
        is_number = kind in ("int", "float")
        try:
            if is_number and len(node.value) > _LONGEST_NUMBER:
                raise ValueError
            value = self._scalars.construct_object(node, deep=True)
        except (ValueError, LookupError):
            raise ConfigError(f"{source}: '{shown}' is not a {kind}") from None
        if is_number and (
            not -(2**63) <= value < 2**64
            if kind == "int"
            else math.isinf(value) and "inf" not in shown.lower()
        ):
            raise ConfigError(f"{source}: '{shown}' does not fit into 64 bits")
        return value

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Cell]:
        own: dict[str, Cell] = {}
        merged: dict[str, Cell] = {}
        for key_node, value_node in node.value:
            source = self._source(key_node)
            if key_node.tag == _STANDARD + "merge":
                merged = {**merged, **self._merged(value_node, source)}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{source}: a key must be a word")
            key = str(self._scalar(key_node, source))
            if key in own:
                raise ConfigError(f"{source}: the key '{show_text(key)}' occurs twice in one block")
            own[key] = self.build(value_node)
        return {**merged, **own}

    def _merged(self, node: yaml.Node, source: str) -> dict[str, Cell]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Cell] = {}
        for part in reversed(parts):
            value = self.build(part).value
            if not isinstance(value, dict):
                raise ConfigError(f"{source}: '<<' takes a mapping or a list of mappings")
            self._merged_left -= len(value)
            if self._merged_left < 0:
                raise ConfigError(f"{source}: '<<' inserts more than {MAX_VALUES} values")
            merged.update(value)
        return merged
