"""Published models in an archive, for machines without a network.

A ZIP archive of `models.json` (the names, with the sha256 of their files), the files as they lie in a mirror
(`registry.mirror_path`), and in `exports/` the folders of exports: with these such a machine needs no Paddle.
"""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ppose.downloads.unpack import unpack
from ppose.errors import DataError, DeviceError, ExportError
from ppose.files import file_digest, read_json, replacing
from ppose.paths import show_name, show_text
from ppose.weights.download import cache_folder, take
from ppose.weights.registry import Model, list_models, mirror_path
from ppose.zoo.exports import exports_folder, find_export, list_exports

_CONTENTS = "models.json"
_EXPORTS = "exports"
_MOST_BYTES = 64 << 30


def pack_models(models: Sequence[Model], archive: Path) -> list[str]:
    """Write an archive of these models, fetched and exported if need be; returns a line about each."""
    lines, contents = [], {}
    with replacing(archive) as temporary, zipfile.ZipFile(temporary, "w") as opened:
        for model in models:
            file = model.fetch()
            contents[model.name] = {"sha256": file_digest(file)}
            opened.write(file, mirror_path(model.url))
            folders, problem = _find_exports(model)
            for folder in folders:
                for path in sorted(folder.iterdir()):
                    if path.is_file():
                        opened.write(path, f"{_EXPORTS}/{folder.name}/{path.name}")
            lines.append(f"{model.name}: {', '.join([file.name.partition('-')[2], *problem])}")
        opened.writestr(_CONTENTS, json.dumps(contents))
    return lines


def unpack_models(archive: Path) -> list[str]:
    """Put the models of an archive into the cache, each after a look at its checksum; a line about each.

    Raises DownloadError for a damaged archive, DataError where it is none of `pack_models`, or a file is not
    the one that it was, or not the published one. Models that this version does not know are left out, and
    said.
    """
    cache_folder().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".models-", dir=cache_folder()))
    try:
        unpack(archive, folder, most_bytes=_MOST_BYTES)
        return [_take_model(folder, name, entry, archive) for name, entry in _read_contents(folder, archive)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _find_exports(model: Model) -> tuple[list[Path], list[str]]:
    """The exports of a keypoint network, the quickest runtime's made if need be; and what is to be said."""
    if model.kind != "pose":
        return [], []
    try:
        find_export(model)
    except (DeviceError, ExportError):
        return [], ["without an export, which needs Paddle: that machine will need it, too"]
    folders = list_exports(model)
    return folders, [folder.name for folder in folders]


def _read_contents(folder: Path, archive: Path) -> list[tuple[str, dict[str, Any]]]:
    file = folder / _CONTENTS
    contents = read_json(file, "list of models") if file.is_file() else None
    if not isinstance(contents, dict) or not all(
        isinstance(entry, dict) and isinstance(entry.get("sha256"), str) for entry in contents.values()
    ):
        raise DataError(f"{show_name(archive)} is no archive of `ppose models pack`: it has no {_CONTENTS}")
    return list(contents.items())


def _take_model(folder: Path, name: str, entry: dict[str, Any], archive: Path) -> str:
    model = list_models().get(name)
    if model is None:
        return f"{show_text(name)}: left out, this version of ppose does not know it"
    file = folder / mirror_path(model.url)
    expected = {entry["sha256"], model.digest or entry["sha256"]}
    if not file.is_file() or {file_digest(file)} != expected:
        raise DataError(
            f"{show_name(archive)}: the file of {name} is missing, or not the published one: pack it anew"
        )
    taken = take(file, model.url, entry["sha256"])
    exported = list_exports(model, within=folder / _EXPORTS)
    for path in exported:
        place = exports_folder() / path.name
        place.parent.mkdir(exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        path.rename(place)
    return f"{name}: {', '.join([taken.name.partition('-')[2], *(path.name for path in exported)])}"
