"""Packs published models into an archive, for machines without a network.

It is a ZIP archive of `models.json` (names, and the sha256 of each file), the published files with the paths
of a mirror (`registry.mirror_path`), and the cache folders made from them, which need no Paddle in ONNX.
"""

import json
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from ppose.downloads.unpack import unpack
from ppose.errors import DataError, DeviceError, ExportError
from ppose.files import file_digest, read_json, replacing, temporary_folder
from ppose.paths import cache_folder, show_name, show_text
from ppose.weights.download import take
from ppose.weights.registry import Model, list_models, mirror_path
from ppose.zoo.detectors import find_detector, unpacked_folder
from ppose.zoo.exports import exports_folder, find_export, list_exports

_CONTENTS = "models.json"
_MOST_BYTES = 64 << 30


def pack_models(models: Sequence[Model], archive: Path) -> list[str]:
    """Write an archive of these models, downloaded and exported if needed; return a line about each."""
    lines, contents = [], {}
    with replacing(archive) as temporary, zipfile.ZipFile(temporary, "w") as opened:
        for model in models:
            file = model.fetch()
            folders, notes = _find_folders(model)
            members = {mirror_path(model.url): file} | {
                path.relative_to(cache_folder()).as_posix(): path
                for folder in folders
                for path in sorted(folder.iterdir())
                if path.is_file()
            }
            for name, path in members.items():
                opened.write(path, name)
            contents[model.name] = {name: file_digest(path) for name, path in members.items()}
            lines.append(f"{model.name}: {', '.join([Path(mirror_path(model.url)).name, *notes])}")
        opened.writestr(_CONTENTS, json.dumps(contents))
    return lines


def unpack_models(archive: Path) -> list[str]:
    """Put the models of an archive into the cache, after checking their checksums; return a line about each.

    Raises DownloadError for a damaged archive, DataError if it is none of `pack_models`, or if a file differs
    from the packed or the published one. Models unknown to this version are skipped and reported.
    """
    cache_folder().mkdir(parents=True, exist_ok=True)
    with temporary_folder(cache_folder(), ".models-") as folder:
        unpack(archive, folder, most_bytes=_MOST_BYTES)
        return [_take_model(folder, name, files, archive) for name, files in _read_contents(folder, archive)]


def _find_folders(model: Model) -> tuple[list[Path], list[str]]:
    """The folders of a model in the cache, made for the fastest runtime if needed; and notes to report."""
    if model.kind == "detector":
        folders = [find_detector(model.name)]
    else:
        try:
            find_export(model)
        except (DeviceError, ExportError):
            return [], ["without an export, which needs Paddle: the other machine will need it too"]
        folders = list_exports(model)
    return folders, [folder.name for folder in folders]


def _read_contents(folder: Path, archive: Path) -> list[tuple[str, dict[str, str]]]:
    file = folder / _CONTENTS
    contents = read_json(file, "list of models") if file.is_file() else None
    if not isinstance(contents, dict) or not all(isinstance(files, dict) for files in contents.values()):
        raise DataError(f"{show_name(archive)} is no archive of `ppose models pack`: it has no {_CONTENTS}")
    return list(contents.items())


def _take_model(folder: Path, name: str, files: dict[str, str], archive: Path) -> str:
    """Put a model's file into the cache, and those of its folders whose files all match their checksums."""
    model = list_models().get(name)
    if model is None:
        return f"{show_text(name)}: skipped, unknown to this version of ppose"
    published = mirror_path(model.url)
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    digests = {member: file_digest(found[member]) for member in files if member in found}
    digest = digests.get(published, "")
    if digests != files or not digest or digest != (model.digest or digest):
        raise DataError(
            f"{show_name(archive)}: files of {name} are missing, or differ from the packed or published "
            "ones: pack it again"
        )
    take(found[published], model.url, digest)
    if model.kind == "detector":
        folders = [folder / unpacked_folder(model).relative_to(cache_folder())]
    else:
        folders = list_exports(model, within=folder / exports_folder().name)
    folders = [path for path in folders if path.is_dir()]
    for path in folders:
        if any(file.relative_to(folder).as_posix() not in files for file in path.iterdir()):
            raise DataError(f"{show_name(archive)}: {path.name} holds more than was packed: pack it again")
        place = cache_folder() / path.relative_to(folder)
        place.parent.mkdir(exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        path.rename(place)
    return f"{name}: {', '.join([Path(published).name, *(path.name for path in folders)])}"
