"""Writes docs/reference/: every command's flags, every config key, the Python API, from the code itself.

    python docs/make_reference.py

docs/key_meanings.tsv says what docstrings leave out. The list in docs/untested.md of commands that are not
run is written too.
"""

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from page_commands import list_not_run

from ppose.cli import COMMANDS, make_parser
from ppose.files import replacing
from ppose.workspace.registry import CONFIG, Entry, describe_kind, get_entry, registered_names
from ppose.workspace.signature import Key, block_keys, describe

FOLDER = Path(__file__).resolve().parent
_WRITTEN = "`python docs/make_reference.py` writes this page.\n"


def make_commands() -> str:
    """The page of all commands, with a table of flags of each."""
    lines = [f"# Commands\n\n{_WRITTEN}"]
    lines += ["Every command also has `--help`. Paths may hold `~` and environment variables.\n"]
    for name in COMMANDS:
        command = importlib.import_module(f"ppose.commands.{name}")
        parser = make_parser(command, f"ppose {name}")
        lines += [f"## `ppose {name}`\n", (command.__doc__ or "").strip() + "\n"]
        lines += ["| flag | meaning |", "|---|---|"]
        exclusive = [group._group_actions for group in parser._mutually_exclusive_groups]
        for action in parser._actions:
            if action.dest == "help":
                continue
            others = [_name(o) for group in exclusive if action in group for o in group if o is not action]
            lines += [_row(*_describe_flag(parser, action, others))]
        lines += [""]
    return "\n".join(lines)


def _name(action: Any) -> str:
    return (
        ", ".join(f"`{option}`" for option in action.option_strings) or f"`{action.metavar or action.dest}`"
    )


def _describe_flag(parser: Any, action: Any, others: list[str]) -> tuple[str, str]:
    """Its names and what it takes; what it means, by default and beside others."""
    text = (action.help or "") % dict(vars(action), prog=parser.prog)
    parts = [text]
    name, takes = _name(action), action.metavar or action.dest.upper()
    if isinstance(takes, tuple):  # of an option with several values
        takes = " ".join(takes)
    if action.choices:
        parts += [f"one of {', '.join(f'`{choice}`' for choice in action.choices)}"]
    elif action.option_strings and action.nargs != 0:
        name += f" `{takes}{' ...' if action.nargs in ('+', '*') else ''}`"
    if "default:" not in text:
        parts += [_show_default(action)]
    if others:
        parts += [f"not with {', '.join(others)}"]
    if action.required and action.option_strings:
        parts += ["required"]
    return name, "; ".join(part for part in parts if part)


def _show_default(action: Any) -> str:
    is_shown = action.default not in (None, False, [], "==SUPPRESS==") and action.option_strings
    return f"default: `{action.default}`" if is_shown else ""


def make_config() -> str:
    """The page of all config keys: those of the top level, then those of the components, by kind."""
    meanings = _read_meanings()
    lines = [f"# Config keys\n\n{_WRITTEN}"]
    lines += ["How configs inherit: [configs](../configs.md). Keys that are not here are errors.\n"]
    lines += ["## The top level\n", *_describe_component(get_entry(CONFIG), "top level", meanings)]
    kinds: dict[Any, dict[Any, list[str]]] = {}
    for name in registered_names():
        entry = get_entry(name)
        if entry.target.__module__.startswith("ppose."):
            same = (entry.target, entry.settings)
            kinds.setdefault(entry.kind, {}).setdefault(same, []).append(name)
    for kind in sorted(kinds, key=describe_kind):
        groups = sorted(kinds[kind].items(), key=lambda item: sorted(item[1]))
        lines += [f"## {describe_kind(kind).capitalize()}\n"]
        for (target, _), names in groups:
            if len(groups) > 1 or names != [kind.__name__]:
                lines += [f"### {', '.join(f'`{name}`' for name in sorted(names))}\n"]
            lines += _describe_component(get_entry(names[0]), target.__name__, meanings)
    return "\n".join(lines)


def _describe_component(entry: Entry, name: str, meanings: dict[str, str]) -> list[str]:
    document = clean(entry.target)
    lines = [document + "\n"] if document else []
    sources = (
        [*inspect.getmro(entry.target), entry.settings] if inspect.isclass(entry.target) else [entry.target]
    )
    sentences = [
        s for source in sources if source not in (None, object) for s in split_sentences(clean(source))
    ]
    rows = []
    for key, about in block_keys(entry).items():
        if key in entry.ignored:
            continue
        found = _find_meaning(key, sentences)
        meaning = meanings.get(f"{name}.{key}") or found or meanings.get(f"*.{key}", "")
        rows += [_row(f"`{key}`", _describe_type(about), _default_of(entry, key, about), meaning)]
    if rows:
        lines += ["| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    if entry.ignored:
        lines += [f"Accepted, without effect: {', '.join(f'`{key}`' for key in entry.ignored)}.\n"]
    return lines


def _describe_type(key: Key) -> str:
    if key.block is not None:
        keys = ", ".join(f"`{name}`" for name in block_keys(Entry(key.block.__name__, key.block, None)))
        return f"a block of {keys}"
    if key.kind is not None:
        words = describe_kind(key.kind)
        return f"a list, each a {words}" if key.many else f"a component: {words}"
    return describe(key.annotation)


def _default_of(entry: Entry, key: str, about: Key) -> str:
    if about.required:
        return "required"
    for target in (entry.target, entry.settings):
        parameter = inspect.signature(target).parameters.get(key) if target is not None else None
        if parameter is not None:
            value = parameter.default
            if about.block is not None:
                return "its own defaults"
            words = {None: "none", True: "true", False: "false", (): "[]"}
            simple = words.get(value) if isinstance(value, bool | tuple | type(None)) else None
            return f"`{simple or (list(value) if isinstance(value, tuple) else value)}`"
    return ""


def _find_meaning(key: str, sentences: list[str]) -> str:
    mark = rf"(?<![\w.]){re.escape(key)}(?!\w)" if "_" in key else f"`{re.escape(key)}`"
    named = [text for text in sentences if re.search(mark, text)]
    return re.sub(r";$", ".", " ".join(dict.fromkeys(named)))


def _read_meanings() -> dict[str, str]:
    """What docstrings leave out: by component and key, a star for any component."""
    rows = (FOLDER / "key_meanings.tsv").read_text(encoding="utf-8").splitlines()
    return dict(row.split("\t") for row in rows if row and not row.startswith("#"))


def clean(target: Any) -> str:
    """A docstring in Markdown; one of `dataclass`'s own making is none."""
    text = inspect.cleandoc(target.__doc__ or "")
    if text.startswith(f"{getattr(target, '__name__', '')}("):
        return ""
    text = text.replace("``", "`").replace("  # doctest: +SKIP", "")
    text = re.sub(
        r"(?:^>>> .*\n?(?:^(?!>>>|$).*\n?)*)+", lambda m: f"```pycon\n{m[0].rstrip()}\n```", text, flags=re.M
    )
    return _escape(text)


def split_sentences(text: str) -> list[str]:
    """The sentences of a docstring, without line breaks."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    flat = [re.sub(r"\s+", " ", part).strip() for part in text.split("\n\n")]
    return [
        sentence
        for part in flat
        for sentence in re.split(r"(?<=[.;])(?<! al\.) (?=[A-Za-z`])", part)
        if sentence
    ]


# The API: what a program imports. Methods are those with a docstring.
API = {
    "ppose": ["Predictor", "load_model"],
    "ppose.inference.predictor": ["Predictor"],
    "ppose.inference.poses": ["Pose", "Poses"],
    "ppose.inference.pose_spec": ["PoseSpec"],
    "ppose.inference.model_folder": ["read_model_folder", "read_infer_cfg"],
    "ppose.workspace": ["load_config", "create", "register"],
    "ppose.keypoints": ["KeypointSet", "get_keypoint_set", "make_keypoint_set"],
    "ppose.annotations": ["read_annotations"],
    "ppose.geometry": ["bbox_xywh_to_center_scale", "get_warp_matrix", "transform_points"],
    "ppose.visualize": ["draw_poses"],
    "ppose.inference.tuning.tune": ["tune", "Tuning"],
    "ppose.serving.app": ["make_app"],
}


def make_python() -> str:
    """The page of the Python API, of docstrings and signatures."""
    lines = [f"# Python\n\n{_WRITTEN}", "What programs import; each as `from MODULE import NAME`.\n"]
    for module_name, names in API.items():
        module = importlib.import_module(module_name)
        lines += [f"## `{module_name}`\n"]
        for name in names:
            target = getattr(module, name)
            lines += [f"### `{name}`\n", *_describe_object(name, target)]
    return "\n".join(lines)


def _describe_object(name: str, target: Any) -> list[str]:
    lines = [f"```text\n{name}{_signature(target)}\n```\n", clean(target) + "\n"]
    for method_name, method in _public_methods(target):
        shown = f"{name}.{method_name}" if method_name != "__call__" else f"{name}(...)"
        lines += [
            f"**`{shown}`**\n",
            f"```text\n{method_name}{_signature(method)}\n```\n",
            clean(method) + "\n",
        ]
    return lines


def _public_methods(target: Any) -> Iterator[tuple[str, Any]]:
    if inspect.isclass(target):
        for name, member in vars(target).items():
            function = getattr(member, "__func__", member)
            is_public = not name.startswith("_") or name == "__call__"
            if is_public and inspect.isfunction(function) and function.__doc__:
                yield name, function


def _signature(target: Any) -> str:
    """As it is written in the source, which no version of Python shows otherwise."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(target))).body
    if not isinstance(tree, ast.ClassDef):
        arguments = ast.unparse(tree.args).removeprefix("self, ").removeprefix("cls, ").removeprefix("self")
        return f"({arguments}) -> {ast.unparse(tree.returns)}" if tree.returns else f"({arguments})"
    if not is_dataclass(target):
        return _signature(target.__init__).removesuffix(" -> None")
    return f"({', '.join(ast.unparse(field) for field in tree.body if isinstance(field, ast.AnnAssign))})"


def _row(*cells: str) -> str:
    return "| " + " | ".join(_escape(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _escape(text: str) -> str:
    """Text whose `<config>` is no HTML; code stays as it is."""
    parts = re.split(r"(^```.*?^```$|`[^`]*`)", text, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [re.sub("<(?=[A-Za-z/])", "&lt;", part) for part in parts[::2]]
    return "".join(parts)


def make_untested() -> str:
    """docs/untested.md with the list of commands that the tests do not run, between its two comments."""
    text = (FOLDER / "untested.md").read_text(encoding="utf-8")
    head, begin, rest = re.split(r"(<!-- begin: .* -->\n)", text)
    return f"{head}{begin}{list_not_run()}\n{rest[rest.index('<!-- end: ') :]}"


MAKERS = {
    "reference/commands.md": make_commands,
    "reference/config.md": make_config,
    "reference/python.md": make_python,
    "untested.md": make_untested,
}


def main() -> None:
    for name, make in MAKERS.items():
        with replacing(FOLDER / name) as partial:
            partial.write_text(make().rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
