"""Finds the files of a detector: its graph, weights, and preprocessing settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ppose.errors import DataError
from ppose.inference.detectors.settings import MMDEPLOY_FILE, Settings, read_mmdeploy_settings
from ppose.inference.model_folder import INFER_CFG
from ppose.inference.paddle_export import PaddleExport, find_paddle_export
from ppose.paths import show_name

_ENDINGS = (".onnx", ".xml")  # graphs that are read without Paddle
_MAIN = ("model", "inference", "end2end")  # preferred stems if a folder has several files


@dataclass(frozen=True)
class DetectorFiles:
    """A graph, its weights if in Paddle's format, and PaddleDetection's settings if there are any."""

    graph: Path
    weights: Path | None
    export: PaddleExport | None

    def read_pipeline(self, size: tuple[int, int] | None) -> Settings | None:
        """The settings in mmdeploy's file beside the graph; ``size`` (w, h) is the input's, None any."""
        file = self.graph.parent / MMDEPLOY_FILE
        return read_mmdeploy_settings(file, size) if file.is_file() else None


def find_detector_files(path: str | Path) -> DetectorFiles:
    """The files of a folder, or of one file with those beside it; DataError if it is no detector."""
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    export = find_paddle_export(folder)
    if export is not None and export.is_pose:
        raise DataError(f"{show_name(path)} is a keypoint network, which goes to --model_dir")
    if export is not None and export.is_bottom_up:
        raise DataError(f"{show_name(path)} is a bottom-up keypoint network, which ppose does not run")
    if export is None and (folder / INFER_CFG).is_file():
        raise DataError(
            f"{show_name(folder / INFER_CFG)} has no Preprocess, so it is no detector; a keypoint network "
            "goes to --model_dir"
        )
    if not path.is_dir():
        return _take_file(path, export)
    found = sorted(file for file in path.iterdir() if file.suffix in _ENDINGS and file.is_file())
    if found:
        return DetectorFiles(_choose(found, path), None, export)
    if export is None:
        raise DataError(
            f"{show_name(path)} holds no detector: expected a file {' or '.join(_ENDINGS)}; or "
            "PaddleDetection's infer_cfg.yml, model.json or model.pdmodel, and model.pdiparams (or "
            "inference.yml and inference.*)"
        )
    return DetectorFiles(*export.find_graph(), export)


def _take_file(file: Path, export: PaddleExport | None) -> DetectorFiles:
    if not file.is_file():
        raise DataError(f"detector not found: {show_name(file)}")
    if file.suffix not in _ENDINGS:
        raise DataError(
            f"{show_name(file)} is no detector: expected a file {' or '.join(_ENDINGS)}, or a folder"
        )
    return DetectorFiles(file, None, export)


def _choose(files: Sequence[Path], folder: Path) -> Path:
    main = [file for stem in _MAIN for file in files if file.stem == stem]
    if len(files) > 1 and not main:
        names = ", ".join(show_name(file.name) for file in files[:5])
        raise DataError(f"{show_name(folder)} holds several graphs: name one of {names}")
    return (main or files)[0]
