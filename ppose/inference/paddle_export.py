"""Reads folders that PaddleDetection and PaddleX export: their files and settings.

PaddleDetection writes `infer_cfg.yml` beside `model.json` (Paddle 3) or `model.pdmodel` (Paddle 2), PaddleX
`inference.yml` beside `inference.json` or `inference.pdmodel`; weights are in `.pdiparams`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppose.errors import ConfigError, DataError
from ppose.paths import show_name, show_text
from ppose.workspace.cells import to_plain
from ppose.workspace.yaml_file import read_cells

_FORMS = {"infer_cfg.yml": "model", "inference.yml": "inference"}
_GRAPH_ENDINGS = (".json", ".pdmodel")
_WEIGHTS_ENDING = ".pdiparams"
# PaddleDetection's names of top-down keypoint networks with any backbone: in exports, in configs.
_TOP_DOWN = ("HRNet", "TopDownHRNet")
_BOTTOM_UP = "HigherHRNet"
_WARP = "TopDownEvalAffine"
_NORM_TYPES = ("mean_std", "none")


@dataclass(frozen=True)
class PaddleExport:
    """An export's settings: ``cfg`` of ``cfg_file``, which has the key Preprocess."""

    path: Path
    cfg_file: Path
    cfg: Mapping[str, Any]

    @property
    def arch(self) -> str:
        """The kind of network: HRNet for keypoints; GFL, YOLO and others for detectors."""
        return str(self.cfg.get("arch"))

    @property
    def name(self) -> str:
        """PaddleX's name of the model, or else the folder's."""
        about = self.cfg.get("Global")
        name = about.get("model_name") if isinstance(about, Mapping) else None
        return str(name or self.path.resolve().name)

    @property
    def is_pose(self) -> bool:
        """Whether it is a top-down keypoint network: its input is a crop of one person."""
        if self.cfg.get("arch") is None:
            return any(step["type"] == _WARP for step in self.steps())
        return self.arch in _TOP_DOWN

    @property
    def is_bottom_up(self) -> bool:
        """Whether it finds the keypoints of all people at once, which ppose does not run."""
        return self.arch == _BOTTOM_UP

    def steps(self) -> list[dict[str, Any]]:
        """The preprocessing steps, each with its `type`; ConfigError if they are not a list."""
        steps = self.cfg["Preprocess"]
        if not isinstance(steps, list) or not all(
            isinstance(step, dict) and isinstance(step.get("type"), str) for step in steps
        ):
            raise ConfigError(
                f"{show_name(self.cfg_file)}: Preprocess: got {show_text(repr(steps))}, expected a list of "
                "steps"
            )
        return steps

    def find_graph(self) -> tuple[Path, Path]:
        """The files of the graph and of its weights; DataError if they are missing."""
        stem = _FORMS[self.cfg_file.name]
        weights = self.path / (stem + _WEIGHTS_ENDING)
        graphs = [self.path / (stem + ending) for ending in _GRAPH_ENDINGS]
        graph = next((file for file in graphs if file.is_file()), None)
        if graph is None or not weights.is_file():
            raise DataError(
                f"{show_name(self.path)} holds {self.cfg_file.name}, but no model: expected "
                f"{' or '.join(file.name for file in graphs)}, and {weights.name}"
            )
        return graph, weights


def find_paddle_export(folder: str | Path) -> PaddleExport | None:
    """The settings of a folder that PaddleDetection or PaddleX wrote; None for other folders."""
    for name in _FORMS:
        file = Path(folder) / name
        if file.is_file() and file.stat().st_size:
            cfg = to_plain(read_cells(file))
            if "Preprocess" in cfg:
                return PaddleExport(Path(folder), file, cfg)
    return None


def to_normalize(
    mean: Sequence[float] = (0.485, 0.456, 0.406),
    std: Sequence[float] = (0.229, 0.224, 0.225),
    is_scale: bool = True,
    norm_type: str = "mean_std",
) -> dict[str, Any]:
    """The spec of our transform that equals PaddleDetection's NormalizeImage with these arguments.

    Defaults are those that its networks are trained with. Raises TypeError for unknown arguments, ValueError
    for wrong values.
    """
    if norm_type not in _NORM_TYPES:
        raise ValueError(f"norm_type is {show_text(norm_type)}, expected {' or '.join(_NORM_TYPES)}")
    check_switch("is_scale", is_scale)
    if norm_type == "none":
        mean, std = [0.0] * 3, [1.0] * 3
    if not all(isinstance(values, list | tuple) for values in (mean, std)):
        raise ValueError("mean and std: expected lists of three numbers")
    return {"NormalizeImage": {"mean": list(mean), "std": list(std), "is_scale": bool(is_scale)}}


def check_switch(name: str, value: object) -> None:
    """Raise ValueError unless a value is a bool or an int: any text would count as true."""
    if not isinstance(value, bool | int):
        raise ValueError(f"{name} is {show_text(repr(value))}, expected true or false")
