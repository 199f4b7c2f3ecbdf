"""Finds, loads and saves a network's weights; loading reports what matched."""

import logging
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ppose.errors import CheckpointError
from ppose.files import replacing
from ppose.paths import expand_path, show_name, show_text
from ppose.weights.download import fetch
from ppose.weights.published_names import find_beyond, own_names
from ppose.weights.reader import read_weights
from ppose.weights.registry import fetch_published, suggest_name

if TYPE_CHECKING:
    from paddle import Tensor, nn

_logger = logging.getLogger(__name__)

_LISTED = 10
_ENDINGS = (".pdparams", ".safetensors")


class Misshaped(NamedTuple):
    """A parameter with another shape in the file than in the network."""

    name: str
    got: tuple[int, ...]
    expected: tuple[int, ...]


@dataclass(frozen=True)
class LoadReport:
    """The result of loading a weights file: names of the network, and for ``unexpected`` keys of the file."""

    source: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[Misshaped, ...]

    def summary(self) -> str:
        """The report in one line."""
        wanted = len(self.matched) + len(self.missing) + len(self.misshaped)
        parts = [f"{self.source}: {len(self.matched)} of the network's {wanted} arrays loaded"]
        parts += self.problems()
        if self.unexpected:
            parts.append(f"{len(self.unexpected)} unexpected in the file: {_list(self.unexpected)}")
        return "; ".join(parts)

    def problems(self) -> list[str]:
        """What the network did not get: a text for missing arrays and one for misshaped ones, if any."""
        parts = []
        if self.missing:
            parts.append(f"{len(self.missing)} missing in the file: {_list(self.missing)}")
        if self.misshaped:
            shapes = [
                f"{name} (got {list(got)}, expected {list(want)})" for name, got, want in self.misshaped
            ]
            parts.append(f"{len(self.misshaped)} of another shape: {_list(shapes)}")
        return parts


def find_weights(source: str | Path) -> Path:
    """The local file of a URL or name (downloaded if needed), a file, a path without its ending, or a folder.

    A folder stands for its ``model_final``. Endings are ``.pdparams`` and ``.safetensors``. Names are those
    of published models (`ppose models`). Raises CheckpointError with the tried paths, and DownloadError if a
    download fails.
    """
    if not str(source):
        raise CheckpointError(
            "no weights given: expected a file, a folder, a URL, or a name of `ppose models`"
        )
    if "://" in str(source):
        return fetch_published(str(source)) or fetch(str(source))
    path = Path(expand_path(str(source)))
    tries = [path, *(Path(f"{stem}{end}") for stem in (path, path / "model_final") for end in _ENDINGS)]
    for candidate in tries:
        if candidate.is_file():
            return candidate
    if path.is_dir():
        here = sorted(p.name for end in _ENDINGS for p in path.glob(f"*{end}"))
        raise CheckpointError(
            f"no model_final.pdparams in the folder {show_name(path)}; it holds {_list(here) or 'no weights'}"
        )
    if Path(f"{path}.index").is_file():
        raise CheckpointError(
            f"{show_name(path)} looks like a checkpoint of TensorFlow, which is not read here"
        )
    if (published := fetch_published(str(source))) is not None:
        return published
    raise CheckpointError(
        f"no weights at {show_name(path)}: tried {', '.join(map(show_name, tries))}, and the names of "
        f"`ppose models`{suggest_name(path.name)}"
    )


@dataclass(frozen=True)
class WeightsFile:
    """A loaded weights file: its local path, and its arrays by the file's keys."""

    path: Path
    arrays: Mapping[str, np.ndarray]


def open_weights(source: str | Path) -> WeightsFile:
    """Find and read a weights file; raises as ``find_weights`` and ``read_weights``."""
    path = find_weights(source)
    return WeightsFile(path, read_weights(path))


def load_weights(model: "nn.Layer", source: str | Path | WeightsFile, *, strict: bool) -> LoadReport:
    """Load weights, under own or published key names, into a network; nothing is set on an error.

    ``strict`` (evaluation): every parameter and buffer of the network must be in the file with its shape.
    Not strict (pre-training: another head, only a backbone): missing or misshaped arrays keep their initial
    values, with a warning that lists them. Values are cast to the network's dtype. Keys that match the
    network's ``dead_weights`` (a pattern) and have no place in it are skipped.

    Raises CheckpointError if nothing matches, if a loaded value is not finite, and, with ``strict``, for
    anything missing or misshaped and for weights of a network with more or larger blocks. Raises also as
    ``open_weights``.
    """
    file = source if isinstance(source, WeightsFile) else open_weights(source)
    path, arrays = file.path, file.arrays
    state = model.state_dict()
    names = own_names(arrays, state.keys())
    keys = _keys_by_name(path, names, state)
    dead: re.Pattern[str] | None = getattr(model, "dead_weights", None)
    unexpected = tuple(
        key for key, name in names.items() if name not in state and not (dead and dead.search(key))
    )
    shapes = [Misshaped(name, arrays[key].shape, tuple(state[name].shape)) for name, key in keys.items()]
    report = LoadReport(
        source=show_name(path),
        matched=tuple(shape.name for shape in shapes if shape.got == shape.expected),
        missing=tuple(name for name in state if name not in keys),
        unexpected=unexpected,
        misshaped=tuple(shape for shape in shapes if shape.got != shape.expected),
    )
    if not report.matched or (strict and report.problems()):
        raise CheckpointError(_misfit(report, arrays, state))
    layers = {key: names[key] for key in unexpected if arrays[key].ndim > 1}
    if strict and (beyond := find_beyond(layers, state)):
        raise CheckpointError(
            f"{report.source} is of a larger network, for instance of another depth: {len(beyond)} of its "
            f"weights have no place here: {_list(beyond, 3)}"
        )
    values = {name: arrays[keys[name]] for name in report.matched}
    for name, array in values.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise CheckpointError(
                f"{show_name(path)}: '{show_text(keys[name])}' holds NaN or infinite values; "
                "the file is unusable"
            )
    _set(state, values)
    _log(report, strict)
    return report


def _set(state: Mapping[str, "Tensor"], values: Mapping[str, np.ndarray]) -> None:
    import paddle  # here, since finding and reading weights works without it

    for name, array in values.items():
        # ascontiguousarray makes a scalar one-dimensional.
        tensor = paddle.to_tensor(np.ascontiguousarray(array).reshape(array.shape))
        state[name].set_value(tensor.astype(state[name].dtype))


def _keys_by_name(path: Path, names: Mapping[str, str], state: Mapping[str, "Tensor"]) -> dict[str, str]:
    """The file's key for each own name."""
    keys: dict[str, str] = {}
    for key, name in names.items():
        if name in state and keys.setdefault(name, key) != key:
            raise CheckpointError(
                f"{show_name(path)}: '{show_text(keys[name])}' and '{show_text(key)}' are both weights of "
                f"'{name}'"
            )
    return keys


def _misfit(report: LoadReport, arrays: Iterable[str], state: Mapping[str, "Tensor"]) -> str:
    if not report.matched and not report.misshaped:
        return (
            f"{report.source} looks like a checkpoint of another network: its keys are {_list(arrays, 3)}, "
            f"the network's are {_list(state, 3)}"
        )
    # With another head, or only a backbone, a few arrays do not match.
    other = len(report.matched) < 0.9 * len(state)
    looks = " (it looks like a checkpoint of another network)" if other else ""
    return f"{report.source} does not fit the network{looks}: {'; '.join(report.problems())}"


def _log(report: LoadReport, strict: bool) -> None:
    is_doubtful = bool(report.unexpected) if strict else bool(report.problems())
    _logger.log(logging.WARNING if is_doubtful else logging.INFO, report.summary())


def _list(names: Iterable[str], count: int = _LISTED) -> str:
    names = list(names)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(map(show_text, names[:count])) + more


def save_weights(model: "nn.Layer", path: str | Path) -> None:
    """Save parameters and buffers under their own names, in a form that ``paddle.load`` reads too.

    The file is written beside its final name and renamed when it is whole, so that an earlier file survives a
    full disk. Raises CheckpointError if it cannot be written.
    """
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    try:
        with replacing(path) as part, part.open("wb") as file:
            pickle.dump(arrays, file, protocol=4)
    except OSError as error:
        raise CheckpointError(f"cannot write {show_name(path)}: {error.strerror or error}") from error
