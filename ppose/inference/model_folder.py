"""The folder of an exported model: `infer_cfg.yml`, and the network in one or several formats.

`infer_cfg.yml` holds the `PoseSpec`, and which files, by checksum, belong together.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import yaml

from ppose.codecs import Codec
from ppose.errors import ConfigError, DataError, PposeError
from ppose.files import file_digest, write_bytes
from ppose.inference.pose_spec import GRAPH_INPUTS, PoseSpec
from ppose.inference.ranges import check_infer_cfg
from ppose.inference.spec_in_words import describe_spec
from ppose.keypoints import KeypointSet
from ppose.paths import show_text
from ppose.processor import saturates_int8
from ppose.transforms import ChannelOrder, Transform
from ppose.workspace import create
from ppose.workspace.cells import Cell, to_plain
from ppose.workspace.check import check_block
from ppose.workspace.yaml_file import parse_cells, read_cells

INFER_CFG = "infer_cfg.yml"
PADDLE_FILES = ("model.json", "model.pdiparams")
PADDLE_2_FILES = ("model.pdmodel", "model.pdiparams")  # the weights are those of both of Paddle's graphs
ONNX_FILES = ("model.onnx",)
MODEL_FILES = tuple(dict.fromkeys(PADDLE_FILES + PADDLE_2_FILES + ONNX_FILES))

_FORMAT = 2
_SPEC_KEYS = tuple(field.name for field in fields(PoseSpec) if field.init and field.name != "source")
_SPOILT = "the file is not as it was exported: export again"


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """An exported model, whose graph maps `image` to `heatmaps` or `keypoints`, as ``spec`` says.

    ``name`` is its config's. ``files`` are checksums (sha256) by name, ``weights_sha256`` is that of the
    checkpoint, ``quantization_sha256`` that of the quantization of an int8 model (None: the model is float),
    ``versions`` are by package. ``int8_weights`` of an int8 model are portable, or full (also None, in older
    exports), which saturate on x86 processors without VNNI. ``published`` are the graph and weights of
    another publisher's export: its files have other names, and a config may name its keypoints.
    """

    path: Path
    name: str
    spec: PoseSpec
    weights_sha256: str
    quantization_sha256: str | None
    files: dict[str, str]
    versions: dict[str, str]
    int8_weights: Literal["portable", "full"] | None = None
    published: tuple[Path, Path] | None = None

    @property
    def paddle_files(self) -> tuple[Path, Path]:
        """Paddle's graph and weights."""
        graph, weights = self.paddle_names
        return self.published or (self.path / graph, self.path / weights)

    @property
    def paddle_names(self) -> tuple[str, str]:
        """The files of the graph and weights that Paddle runs: those of Paddle 2 only without others."""
        is_of_2 = PADDLE_2_FILES[0] in self.files and PADDLE_FILES[0] not in self.files
        return PADDLE_2_FILES if is_of_2 else PADDLE_FILES

    def check_batch(self, batch: int | None) -> None:
        """Raise ConfigError where a graph takes another number of images (None: any) than the folder says."""
        if batch != self.spec.batch:
            raise ConfigError(
                f"{self.path / INFER_CFG}: batch is {_count(self.spec.batch)}, the network takes "
                f"{_count(batch)}; {_SPOILT}"
            )

    @property
    def is_int8(self) -> bool:
        """Whether convolutions compute in int8."""
        return self.quantization_sha256 is not None

    @property
    def saturates(self) -> bool:
        """Whether int8 arithmetic may saturate on this processor, and give wrong results."""
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
    channel_order: ChannelOrder = "rgb"  # files of version 0.1 lack these three
    box_padding: float = 1.25
    decode_in_graph: bool = False
    keypoint_set: KeypointSet
    codec: Codec
    sample_transforms: Sequence[Transform]
    batch_transforms: Sequence[Transform]
    weights_sha256: str
    quantization_sha256: str | None
    files: dict[str, str]
    versions: dict[str, str]
    int8_weights: Literal["portable", "full"] | None = None
    # For users without ppose: derived from the keys above. Older files lack them.
    input_name: str = "image"
    output_name: str = "heatmaps"
    stride: Sequence[float] = ()
    in_words: Sequence[str] = ()


_DERIVED = ("input_name", "output_name", "stride", "in_words")


def read_model_folder(path: str | Path) -> ModelFolder:
    """The exported model of a folder, its files checked.

    Raises DataError if there is none, if another version wrote it, or if a file is missing or not the
    exported one; ConfigError for an `infer_cfg.yml` that was changed.
    """
    folder = read_infer_cfg(path)
    for name, checksum in folder.files.items():
        file = folder.path / name
        if not file.is_file() or file_digest(file) != checksum:
            problem = "is not the one that was exported" if file.exists() else "is missing"
            raise DataError(f"half-written export: {file} {problem}; export again")
    return folder


def read_infer_cfg(path: str | Path) -> ModelFolder:
    """As `read_model_folder`, without checking the files that `infer_cfg.yml` names."""
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
                f"{file} was made by another version (format {show_text(cfg.get('format'))}, expected "
                f"{_FORMAT}); export again"
            )
        _check_infer_cfg(cells)
        return _make_folder(path, cfg)
    except ConfigError as error:  # the first problem suffices, since the way out is a new export
        problem = str(error).partition("\n")[0].replace(f", {_InferCfg.__name__} needs it", "")
        where = "" if str(file) in problem else f"{file}: "
        raise ConfigError(f"{where}{problem}; {_SPOILT}") from None


def _check_infer_cfg(cells: Cell) -> None:
    """Raise ConfigError unless keys, types and ranges are those of `infer_cfg.yml`."""
    check_block(cells, _InferCfg)
    cfg = to_plain(cells)
    if others := [name for name in cfg["files"] if name not in MODEL_FILES]:
        raise ConfigError(f"files: got '{show_text(others[0])}', expected some of {', '.join(MODEL_FILES)}")
    check_infer_cfg(cfg)


def find_float_export(folder: ModelFolder) -> ModelFolder | None:
    """The float export of the same weights and input, in a folder beside an int8 model's."""
    return next((beside for beside in list_beside(folder) if not beside.is_int8), None)


def list_beside(folder: ModelFolder) -> Iterator[ModelFolder]:
    """The exports of the same weights and input, in folders beside a model's."""
    path = folder.path.resolve()
    for file in sorted(path.parent.glob(f"*/{INFER_CFG}")):
        with suppress(PposeError):
            if file.parent != path and is_same_network(folder, read_infer_cfg(file.parent)):
                yield read_model_folder(file.parent)


def is_same_network(folder: ModelFolder, other: ModelFolder) -> bool:
    """Whether two exports find the same keypoints, up to rounding."""
    return _identity(folder) == _identity(other)


def _identity(folder: ModelFolder) -> tuple[Any, ...]:
    """The values that are equal for exports that find the same keypoints, up to rounding."""
    spec = folder.spec
    return folder.weights_sha256, spec.input_size, spec.codec, spec.keypoint_set, spec.flip_test


def _make_folder(path: Path, cfg: dict[str, Any]) -> ModelFolder:
    of_spec = {name: cfg[name] for name in _SPEC_KEYS if name in cfg}
    built = {name: create(cfg[name], {}) for name in ("keypoint_set", "codec")}
    built["input_size"] = tuple(cfg["input_size"])
    spec = PoseSpec(
        **{**of_spec, **built}, source=f"{path / INFER_CFG} (not as it was exported: export again)"
    )
    if spec.codec.input_size != spec.input_size:
        raise ConfigError("input_size and the codec's differ")
    others = {name: cfg[name] for name in cfg if name not in (*_SPEC_KEYS, *_DERIVED, "format")}
    return ModelFolder(path=path, spec=spec, **others)


def write_infer_cfg(folder: ModelFolder, file: str | Path | None = None) -> None:
    """Write a model's `infer_cfg.yml` into its folder, or to another file.

    Raises ConfigError if it could not be read again.
    """
    spec = folder.spec
    cfg: dict[str, Any] = {"format": _FORMAT, "name": folder.name}
    cfg |= {name: getattr(spec, name) for name in _SPEC_KEYS}
    cfg["keypoint_set"] = {"KeypointSet": asdict(spec.keypoint_set)}
    cfg["codec"] = {type(spec.codec).__name__: asdict(spec.codec)}
    names = {"input_name": GRAPH_INPUTS[0], "output_name": spec.output_name}
    cfg |= names | {"stride": spec.codec.stride.tolist()}
    cfg["in_words"] = describe_spec(spec)
    cfg |= {name: getattr(folder, name) for name in _InferCfg.__dataclass_fields__ if name not in cfg}
    text = yaml.safe_dump(_to_lists(cfg), sort_keys=False, default_flow_style=None, width=110)
    _check_infer_cfg(parse_cells(text, INFER_CFG))
    write_bytes(folder.path / INFER_CFG if file is None else file, text.encode())


def _count(batch: int | None) -> str:
    return "null (any number)" if batch is None else str(batch)


def _to_lists(value: Any) -> Any:
    """A copy with lists for all sequences, as YAML needs; none of them shared."""
    if isinstance(value, Mapping):
        return {key: _to_lists(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_lists(item) for item in value]
    return value
