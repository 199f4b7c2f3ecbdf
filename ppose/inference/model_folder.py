"""The folder of an exported model: `infer_cfg.yml`, and the network in one or several formats.

`infer_cfg.yml` says all that stands between an image with a box and keypoints: preprocessing, the graph's
input, codec and keypoint set; and which files, by checksum, belong together.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from ppose.codecs import Codec
from ppose.errors import ConfigError, DataError, PposeError
from ppose.files import write_bytes
from ppose.keypoints import KeypointSet
from ppose.processor import saturates_int8
from ppose.transforms import Transform
from ppose.workspace import create
from ppose.workspace.cells import read_cells, to_plain
from ppose.workspace.check import check_block

INFER_CFG = "infer_cfg.yml"
PADDLE_FILES = ("model.json", "model.pdiparams")
ONNX_FILES = ("model.onnx",)
MODEL_FILES = PADDLE_FILES + ONNX_FILES

_FORMAT = 2
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """An exported model, whose graph maps `image` (N, 3, h, w) to `heatmaps` (N, K, H, W) float32.

    ``name`` is that of its config. ``input_size`` is (w, h). The image is RGB: normalised where
    ``input_dtype`` is float32, as it is where uint8. ``batch`` is N, None any. ``flip_test``: the graph does
    the flip test itself. ``sample_transforms`` and ``batch_transforms`` are specs for `create`: a sample with
    an image (H, W, 3) RGB uint8, and center and scale unless the image is one person, becomes the graph's
    input, stacked after the first. ``files`` are checksums (sha256) by name, ``weights_sha256`` that of the
    checkpoint, ``quantization_sha256`` that of the roundings of an int8 model (None: the model is float),
    ``versions`` by package. ``int8_weights`` of an int8 model are portable, or full (None, of older exports,
    too), which saturate in x86 processors without VNNI.
    """

    path: Path
    name: str
    input_size: tuple[int, int]
    input_dtype: Literal["float32", "uint8"]
    batch: int | None
    flip_test: bool
    keypoint_set: KeypointSet
    codec: Codec
    sample_transforms: list[dict[str, Any]]
    batch_transforms: list[dict[str, Any]]
    weights_sha256: str
    quantization_sha256: str | None
    files: dict[str, str]
    versions: dict[str, str]
    int8_weights: Literal["portable", "full"] | None = None

    def check_image(self, image: np.ndarray) -> None:
        """Raise ConfigError where what the transforms have made is not the graph's input."""
        width, height = self.input_size
        if image.shape[1:] != (3, height, width) or image.dtype != self.input_dtype:
            raise ConfigError(
                f"{self.path / INFER_CFG}: the transforms give {image.dtype} {list(image.shape[1:])}, the "
                f"network takes {self.input_dtype} {[3, height, width]}; the file is not as it was exported: "
                "export again"
            )

    def check_batch(self, batch: int | None) -> None:
        """Raise ConfigError where a graph takes another number of images (None: any) than the folder says."""
        if batch != self.batch:
            raise ConfigError(
                f"{self.path / INFER_CFG}: batch is {_count(self.batch)}, the network takes {_count(batch)}; "
                "the file is not as it was exported: export again"
            )

    @property
    def is_int8(self) -> bool:
        """Whether convolutions compute in eight bits."""
        return self.quantization_sha256 is not None

    @property
    def saturates(self) -> bool:
        """Whether eight-bit arithmetic may give other results on this processor than the network's."""
        return self.is_int8 and self.int8_weights != "portable" and saturates_int8()


@dataclass(frozen=True, kw_only=True)
class _InferCfg:
    """The keys of `infer_cfg.yml` and their types."""

    format: int
    name: str
    input_size: Sequence[int]
    input_dtype: Literal["float32", "uint8"]
    batch: int | None
    flip_test: bool
    keypoint_set: KeypointSet
    codec: Codec
    sample_transforms: Sequence[Transform]
    batch_transforms: Sequence[Transform]
    weights_sha256: str
    quantization_sha256: str | None
    files: dict[str, str]
    versions: dict[str, str]
    int8_weights: Literal["portable", "full"] | None = None


def read_model_folder(path: str | Path) -> ModelFolder:
    """The exported model of a folder, its files checked.

    Raises DataError where there is none, where another version has written it, and where a file is missing
    or not the one that was exported; ConfigError for an `infer_cfg.yml` that somebody has spoilt.
    """
    folder = read_infer_cfg(path)
    for name, checksum in folder.files.items():
        file = folder.path / name
        if not file.is_file() or file_sha256(file) != checksum:
            problem = "is not the one that was exported" if file.exists() else "is missing"
            raise DataError(f"half-written export: {file} {problem}; export again")
    return folder


def read_infer_cfg(path: str | Path) -> ModelFolder:
    """As `read_model_folder`, without a look at the files that `infer_cfg.yml` names."""
    path = Path(path)
    file = path / INFER_CFG
    if not file.is_file():
        reason = "holds no exported model" if path.is_dir() else "is no folder"
        raise DataError(f"{path} {reason} ({file} not found); tools/export_model.py makes one")
    if file.stat().st_size == 0:
        raise DataError(f"half-written export: {file} is empty; export again")
    try:
        cells = read_cells(file)
        cfg = to_plain(cells)
        if cfg.get("format") != _FORMAT:
            raise DataError(
                f"{file} was made by another version (format {cfg.get('format')!r}, expected {_FORMAT}); "
                "export again"
            )
        check_block(cells, _InferCfg)
        return _make_folder(path, cfg)
    except ConfigError as error:  # one line a problem; the first will do, as nobody is to mend them
        problem = str(error).partition("\n")[0].replace(f", {_InferCfg.__name__} needs it", "")
        where = "" if str(file) in problem else f"{file}: "
        raise ConfigError(f"{where}{problem}; the file is not as it was exported: export again") from None


def find_float_export(folder: ModelFolder) -> ModelFolder | None:
    """The export of the same weights in float, for the same images, in a folder beside an int8 model's."""
    same = ("weights_sha256", "input_size", "codec", "keypoint_set", "flip_test")
    for file in sorted(folder.path.resolve().parent.glob(f"*/{INFER_CFG}")):
        with suppress(PposeError):
            beside = read_model_folder(file.parent)
            if not beside.is_int8 and all(getattr(beside, key) == getattr(folder, key) for key in same):
                return beside
    return None


def _make_folder(path: Path, cfg: dict[str, Any]) -> ModelFolder:
    for name in cfg["files"]:
        if name not in MODEL_FILES:
            raise ConfigError(f"files: got '{name}', expected some of {', '.join(MODEL_FILES)}")
    if cfg["batch"] is not None and cfg["batch"] < 1:
        raise ConfigError(f"batch is {cfg['batch']}, expected 1 or more, or nothing")
    del cfg["format"]
    built = {"keypoint_set": create(cfg["keypoint_set"], {}), "codec": create(cfg["codec"], {})}
    folder = ModelFolder(path=path, **{**cfg, **built, "input_size": tuple(cfg["input_size"])})
    if folder.codec.input_size != folder.input_size:
        raise ConfigError("input_size and the codec's differ")
    return folder


def write_infer_cfg(folder: ModelFolder, file: str | Path | None = None) -> None:
    """Write `infer_cfg.yml` of a model into its folder, or to another file."""
    cfg = {name: getattr(folder, name) for name in ModelFolder.__dataclass_fields__ if name != "path"}
    cfg["keypoint_set"] = {"KeypointSet": asdict(folder.keypoint_set)}
    cfg["codec"] = {type(folder.codec).__name__: asdict(folder.codec)}
    text = yaml.safe_dump({"format": _FORMAT, **_to_lists(cfg)}, sort_keys=False, default_flow_style=None)
    write_bytes(folder.path / INFER_CFG if file is None else file, text.encode())


def file_sha256(path: str | Path) -> str:
    """The sha256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _count(batch: int | None) -> str:
    return "null (any number)" if batch is None else str(batch)


def _to_lists(value: Any) -> Any:
    """The value with lists for all sequences, as YAML knows them, and none of them shared."""
    if isinstance(value, Mapping):
        return {key: _to_lists(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_lists(item) for item in value]
    return value
