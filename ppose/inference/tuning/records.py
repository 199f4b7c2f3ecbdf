"""Keeps in the cache how a model with these files runs best on this machine with these runtimes.

A record is a small JSON file, `tuned/<hash of describe_machine>.json` in ppose's cache folder. It is written
atomically.
"""

import hashlib
import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from ppose.errors import DataError, PposeError
from ppose.files import read_json, write_json
from ppose.inference.model_folder import ModelFolder, is_same_network, read_model_folder
from ppose.inference.runtimes.kinds import (
    KINDS,
    Hint,
    Precision,
    RuntimeName,
    find_version,
    is_installed,
)
from ppose.paths import cache_folder, show_name, show_text
from ppose.processor import own_cores, processor_flags, processor_name

_logger = logging.getLogger(__name__)

_FORMAT = 1
_HINTS: tuple[Hint, ...] = get_args(Hint)


@dataclass(frozen=True)
class Choice:
    """How to run a model: the ``export`` (a folder beside it; "": itself) with these ``files``, and settings.

    ``files`` are checksums by name; ``why`` is for the user.
    """

    export: str
    files: dict[str, str]
    runtime: RuntimeName
    precision: Precision
    threads: int
    streams: int
    batch: int
    why: str


def tuned_folder() -> Path:
    """The folder of the records."""
    return cache_folder() / "tuned"


def describe_machine(folder: ModelFolder) -> dict[str, Any]:
    """What a measurement is valid for: the model's files, the processor, and the runtimes' versions."""
    flags = " ".join(sorted(processor_flags()))
    return {
        "files": dict(sorted(folder.files.items())),
        "processor": processor_name(),
        "abilities": hashlib.sha256(flags.encode()).hexdigest()[:16],
        "cores": own_cores(),
        "versions": {name: find_version(name) for name in KINDS if is_installed(name)},
    }


def write_record(folder: ModelFolder, choices: dict[Hint, Choice]) -> Path:
    """Write a model's choices, replacing earlier ones; returns the file. Raises OSError if that fails."""
    made_for = describe_machine(folder)
    record = {"format": _FORMAT, "path": _locate(folder), "made_for": made_for}
    file = _name_file(made_for)
    write_json(file, record | {hint: asdict(choice) for hint, choice in choices.items()})
    return file


def has_record(folder: ModelFolder) -> bool:
    """Whether there is a valid record for this model's files and this machine."""
    with suppress(ImportError, OSError, PposeError):
        file = _name_file(describe_machine(folder))
        return file.is_file() and all(_open_export(folder, _read_choice(file, hint)) for hint in _HINTS)
    return False


def find_choice(folder: ModelFolder, hint: Hint) -> tuple[ModelFolder, Choice] | None:
    """The export to run and how, as measured for this model on this machine; None without a valid record.

    Logs a warning for a record that is damaged or no longer fits.
    """
    try:
        if not tuned_folder().is_dir():
            return None
        made_for = describe_machine(folder)
        file = _name_file(made_for)
        if not file.is_file():
            _warn_of_others(folder, made_for)
            return None
    except (ImportError, OSError):  # no cache folder
        return None
    try:
        choice = _read_choice(file, hint)
        export = _open_export(folder, choice)
    except PposeError as error:
        _logger.warning("the tuning record of %s is ignored: %s; %s", folder.path, error, _way_out(folder))
        return None
    return export, choice


def _read_choice(file: Path, hint: Hint) -> Choice:
    """The choice in a record; DataError if the record is not valid."""
    record = read_json(file, "record")
    with suppress(LookupError, TypeError):
        if record["format"] == _FORMAT:
            choice = Choice(**record[hint])
            if _is_sound(choice):
                return choice
    raise DataError(f"{show_name(file)} is damaged, or from another version of ppose")


def _is_sound(choice: Choice) -> bool:
    texts = (choice.export, choice.why, *choice.files, *choice.files.values())
    numbers = (choice.threads, choice.streams, choice.batch)
    return (
        all(isinstance(text, str) for text in texts)
        and all(type(number) is int and 1 <= number <= 1024 for number in numbers)
        and Path(choice.export).name == choice.export
        and choice.runtime in KINDS
        and choice.precision in get_args(Precision)
    )


def _open_export(folder: ModelFolder, choice: Choice) -> ModelFolder:
    export = folder if not choice.export else read_model_folder(folder.path.resolve().parent / choice.export)
    if export.files != choice.files or not is_same_network(folder, export):
        raise DataError(f"{show_name(export.path)} has changed since it was measured")
    return export


def _warn_of_others(folder: ModelFolder, made_for: dict[str, Any]) -> None:
    """Log a warning if a record of a model at this path no longer fits."""
    path, others = _locate(folder), []
    for file in sorted(tuned_folder().glob("*.json"), key=lambda file: -file.stat().st_mtime):
        with suppress(PposeError, LookupError, TypeError, AttributeError):
            record = read_json(file, "record")
            if record["path"] == path:
                others.append(_list_changes(record["made_for"], made_for))
    if others:
        changes = show_text(", ".join(others[0]) or "from another version of ppose", 200)
        _logger.warning(
            "the tuning record of %s is ignored (%s); %s", show_name(folder.path), changes, _way_out(folder)
        )


def _list_changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    changes = []
    if before["files"] != now["files"]:
        changes.append("the model's files have changed")
    for name in ("processor", "cores"):
        if before[name] != now[name]:
            changes.append(f"{name}: {before[name]} then, {now[name]} now")
    if before["processor"] == now["processor"] and before["abilities"] != now["abilities"]:
        changes.append("the processor's flags have changed")
    for name in sorted({*before["versions"], *now["versions"]}):
        then, today = (versions["versions"].get(name, "none") for versions in (before, now))
        if then != today:
            changes.append(f"{name} {then} then, {today} now")
    return changes


def _way_out(folder: ModelFolder) -> str:
    return f"`ppose tune {show_name(folder.path)}` measures again"


def _locate(folder: ModelFolder) -> str:
    return show_name(folder.path.resolve())


def _name_file(made_for: dict[str, Any]) -> Path:
    key = json.dumps(made_for, sort_keys=True)
    return tuned_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
