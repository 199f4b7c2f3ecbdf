"""Published detectors as folders: downloaded, unpacked once, and kept in the cache."""

import logging
from pathlib import Path
from typing import Any

from ppose.downloads.unpack import unpack
from ppose.errors import DataError, PposeError
from ppose.files import temporary_folder
from ppose.inference.detectors import PersonDetector
from ppose.inference.paddle_export import find_paddle_export
from ppose.paths import cache_folder, expand_path, show_name
from ppose.weights.download import locked
from ppose.weights.registry import Model, find_model
from ppose.zoo.exports import can_make

_logger = logging.getLogger(__name__)

_MOST_BYTES = 2 << 30  # of an unpacked archive


def find_detector(detector: str | Path) -> Path:
    """The folder or file of a detector: the given one, or that of the published detector of this name.

    Raises ConfigError if there is neither, DownloadError, and DataError if the downloaded archive holds no
    detector.
    """
    path = Path(expand_path(str(detector)))
    if path.exists():
        return path
    model = find_model(str(detector), "detector")
    if model.digest and (folder := unpacked_folder(model)).is_dir():
        return folder
    with locked(detectors_folder() / model.name, f"unpacks {model.name}"):
        archive = model.fetch()
        folder = unpacked_folder(model)
        if not folder.is_dir():
            _unpack(archive, folder)
    return folder


def detectors_folder() -> Path:
    """The parent folder of published detectors."""
    return cache_folder() / "detectors"


def unpacked_folder(model: Model) -> Path:
    """The folder of a detector whose archive is, or was, here."""
    return detectors_folder() / f"{model.name}-{model.digest[:16]}"


def open_named(detector: str | Path, threshold: float, **options: Any) -> PersonDetector:
    """The detector of a name or folder, with its ``options``; raises as `find_detector`, and its own."""
    # Imported here, since it imports the readers of videos.
    from ppose.inference.command import open_detector

    return open_detector(find_detector(detector), threshold, **options)


def _unpack(archive: Path, folder: Path) -> None:
    with temporary_folder(folder.parent, ".unpack-") as temporary:
        unpack(archive, temporary, most_bytes=_MOST_BYTES)
        places = sorted(path for path in (temporary, *temporary.rglob("*")) if path.is_dir())
        exported = next((path for path in places if find_paddle_export(path) is not None), None)
        if exported is None:
            raise DataError(f"{show_name(archive)} holds no detector of PaddleDetection (infer_cfg.yml)")
        _add_onnx(exported)
        exported.chmod(0o755)
        exported.rename(folder)


def _add_onnx(folder: Path) -> None:
    """Convert the graph to ONNX, which runs without Paddle, beside Paddle's, if possible here."""
    export = find_paddle_export(folder)
    if export is None or not can_make("onnx"):
        return
    from ppose.export.onnx_graph import convert_graph

    try:
        convert_graph(*export.find_graph(), folder / "model.onnx")
    except PposeError as error:  # use Paddle's graph
        _logger.info("%s stays in Paddle's format: %s", show_name(folder.name), error)
