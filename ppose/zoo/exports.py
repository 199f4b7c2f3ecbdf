"""Published keypoint networks as runnable folders: downloaded and exported once, and kept in the cache.

A folder's name states the versions that made and checked it, as in
`tinypose_256x192-onnx-ppose1.0.0-onnxruntime1.31.1`; another version of either exports it again.
"""

import importlib.util
import logging
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from ppose.errors import ExportError, PposeError
from ppose.inference.model_folder import ONNX_FILES, read_model_folder
from ppose.inference.runtimes import RuntimeName, list_installed
from ppose.inference.runtimes.kinds import find_version
from ppose.paths import cache_folder, expand_path, show_name
from ppose.processor_settings import silence_tracing
from ppose.version import VERSION
from ppose.weights.download import locked
from ppose.weights.registry import Model, find_model

_logger = logging.getLogger(__name__)

Format = Literal["paddle", "onnx"]
# Packages that an export to a format needs, beside ppose.
_MAKERS: dict[Format, tuple[str, ...]] = {
    "paddle": ("paddle",),
    "onnx": ("paddle", "paddle2onnx", "onnx", "onnx_graphsurgeon", "onnxslim", "onnxruntime"),
}
# Runtimes that read a format; the first one checks an export.
_RUNTIMES: dict[Format, tuple[str, ...]] = {"paddle": ("paddle",), "onnx": ("onnxruntime", "openvino")}


def find_folder(model: str | Path, runtime: RuntimeName = "auto") -> Path:
    """The folder of an exported model: the given one, or that of the published model of this name.

    Raises as `find_export`, and ConfigError if there is neither folder nor name.
    """
    folder = Path(expand_path(str(model)))
    if folder.is_dir():
        return folder
    return find_export(find_model(str(model), "pose"), runtime)


def find_export(model: Model, runtime: RuntimeName = "auto") -> Path:
    """The folder of a published model's export for a runtime, by default the fastest installed one.

    Exports the model if there is no export by these versions of ppose and the runtime; concurrent processes
    export it once. Without Paddle, which the export needs, it uses an export by other versions, with a
    warning. Raises DownloadError, DeviceError without a runtime, ExportError without Paddle.
    """
    for form in _list_formats(runtime):
        folder = exports_folder() / _name_folder(model, form)
        if is_export(folder, model):
            return folder
        if can_make(form):
            with locked(exports_folder() / model.name, f"exports {model.name}"):
                if not is_export(folder, model):
                    _make(model, folder, form)
            return folder
    return _find_older(model, runtime)


def exports_folder() -> Path:
    """The parent folder of published models' exports."""
    return cache_folder() / "exports"


def list_exports(
    model: Model, forms: Iterable[Format] = ("paddle", "onnx"), within: Path | None = None
) -> list[Path]:
    """The folders with valid exports of the model, by any version; by default those in the cache."""
    prefixes = tuple(f"{model.name}-{form}-ppose" for form in forms)
    within = within or exports_folder()
    folders = sorted(within.iterdir()) if within.is_dir() else []
    return [folder for folder in folders if folder.name.startswith(prefixes) and is_export(folder, model)]


def is_export(folder: Path, model: Model) -> bool:
    """Whether an export is complete, and made from the published weights."""
    with suppress(PposeError):
        return read_model_folder(folder).weights_sha256 == (model.digest or None)
    return False


def _list_formats(runtime: RuntimeName) -> list[Format]:
    """The formats that the installed runtimes read, that of the fastest first."""
    files = list_installed(runtime).values()
    return list(dict.fromkeys("onnx" if names == ONNX_FILES else "paddle" for names in files))


def _name_folder(model: Model, form: Format) -> str:
    runtime = next(name for name in _RUNTIMES[form] if importlib.util.find_spec(name))
    return f"{model.name}-{form}-ppose{VERSION}-{runtime}{find_version(runtime)}"


def can_make(form: Format) -> bool:
    """Whether all packages for an export to a format are installed."""
    return all(importlib.util.find_spec(package) for package in _MAKERS[form])


def _make(model: Model, folder: Path, form: Format) -> None:
    silence_tracing()
    weights = model.fetch()
    _logger.info("%s: exporting it once to %s", model.name, show_name(folder))
    from ppose.engine.device import select_device
    from ppose.engine.task import Task
    from ppose.export.export import Options, export_model
    from ppose.workspace import load_config

    task = Task({**load_config(str(model.config)), "weights": str(weights)})
    select_device(task.settings.use_gpu)
    shutil.rmtree(folder, ignore_errors=True)  # a damaged one
    export_model(task, model.name, folder, Options(format=form))
    for older in list_exports(model, [form]):
        if older != folder:
            shutil.rmtree(older, ignore_errors=True)


def _find_older(model: Model, runtime: RuntimeName) -> Path:
    for folder in list_exports(model, [*_list_formats(runtime)]):
        _logger.warning("%s: made by other versions; a new export needs Paddle", folder.name)
        return folder
    pack, unpack = f"`ppose models pack {model.name} -o models.zip`", "`ppose models unpack models.zip`"
    form: Format = "paddle" if runtime == "paddle" else "onnx"
    extras = "paddle" if form == "paddle" else "paddle,onnx"
    missing = ", ".join(package for package in _MAKERS[form] if not importlib.util.find_spec(package))
    raise ExportError(
        f"{model.name} is published only as Paddle's weights, which must be exported once; this needs "
        f"{missing}: pip install 'ppose[{extras}]' (you may remove it afterwards); or take the export from a "
        f"machine that has it: {pack} there, {unpack} here"
    )
