"""The state of a training run in one file: everything that the next step depends on.

Random states are not stored: the order of the samples and their transforms follow from (seed, epoch, index),
the network's own random choices (dropout) from (seed, step), and the learning rate from the step.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from ppose.archives import DAMAGED, read_npz
from ppose.errors import CheckpointError
from ppose.files import write_npz
from ppose.paths import show_name, show_text

STATE_FILE = "train_state.npz"

_META = "state.json"
_FORMAT = 1
_MOST = 10**9  # steps or epochs
_GROUPS = ("model", "average", "objective", "optimizer")

Arrays = dict[str, np.ndarray]
Parameters = Mapping[str, paddle.Tensor]


@dataclass
class Progress:
    """How far a run is: epochs done, steps done in the next epoch, and the best evaluation so far.

    ``evaluated`` is the last epoch that was evaluated.
    """

    epoch: int = 0
    step_in_epoch: int = 0
    best: float | None = None
    best_epoch: int = 0
    evaluated: int = 0


@dataclass
class TrainState:
    """Progress, and the arrays of network, moving average (empty without one), objective and optimizer.

    ``objective`` holds layers trained beside the network. ``optimizer`` is keyed by the parameter's name and
    the array's role: `conv.weight|moment1`. ``scaler`` is the state of fp16's loss scale, empty without one;
    ``ranks`` the number of processes; ``teacher`` the objective's; ``processor_settings`` those of Paddle's
    CPU libraries, on which the last digits of a sum depend.
    """

    progress: Progress
    steps_per_epoch: int
    seed: int
    optimizer_name: str
    model: Arrays
    average: Arrays = field(default_factory=dict)
    objective: Arrays = field(default_factory=dict)
    optimizer: Arrays = field(default_factory=dict)
    scaler: dict[str, float] = field(default_factory=dict)
    ranks: int = 1
    teacher: str = ""
    processor_settings: dict[str, str] = field(default_factory=dict)


def write_state(path: str | Path, state: TrainState) -> None:
    """Write a state; on an error the old file stays. OSError names the file."""
    meta = {
        "format": _FORMAT,
        "progress": asdict(state.progress),
        "steps_per_epoch": state.steps_per_epoch,
        "seed": state.seed,
        "optimizer_name": state.optimizer_name,
        "scaler": state.scaler,
        "ranks": state.ranks,
        "teacher": state.teacher,
        "processor_settings": state.processor_settings,
    }
    arrays: dict[str, Any] = {_META: np.frombuffer(json.dumps(meta).encode(), np.uint8)}
    for group in _GROUPS:
        arrays |= {f"{group}/{name}": array for name, array in getattr(state, group).items()}
    write_npz(path, arrays)


def read_state(path: str | Path) -> TrainState:
    """Read a state from its file, or from the folder of a run; never executes anything in the file.

    Raises CheckpointError if it is missing, no state, or damaged.
    """
    path = Path(path)
    file = path / STATE_FILE if path.is_dir() else path
    shown = show_name(file)
    if file.exists() and not file.is_file():
        raise CheckpointError(f"{shown} is a pipe or device, not a file")
    try:
        return _state(read_npz(file))
    except FileNotFoundError:
        raise CheckpointError(f"no training state to resume from at {shown}") from None
    except OSError as error:
        raise CheckpointError(f"{shown} cannot be read: {error.strerror or error}") from error
    except DAMAGED as error:
        reason = show_text(str(error)) or type(error).__name__
        raise CheckpointError(
            f"{shown} is no training state, or damaged ({reason}); resume from another "
            "(model_dump/<epoch>.npz), or start from weights with --weights"
        ) from error


def _state(arrays: Arrays) -> TrainState:
    """The state of an archive's arrays; ValueError, KeyError or TypeError if they are no state."""
    meta = json.loads(arrays.pop(_META).tobytes())
    if meta.pop("format") != _FORMAT:
        raise ValueError(f"its format is not {_FORMAT}")
    groups: dict[str, Any] = {group: {} for group in _GROUPS}
    for key, array in arrays.items():
        group, _, name = key.partition("/")
        groups[group][name] = array
    state = TrainState(**{**meta, "progress": Progress(**meta["progress"])}, **groups)
    _check_numbers(state)
    return state


def _check_numbers(state: TrainState) -> None:
    """Raise ValueError for values that no run writes, and that could make a run endless."""
    progress = state.progress
    whole = {
        "steps_per_epoch": (state.steps_per_epoch, 1, _MOST),
        "epoch": (progress.epoch, 0, _MOST),
        "step_in_epoch": (progress.step_in_epoch, 0, state.steps_per_epoch),
        "best_epoch": (progress.best_epoch, 0, _MOST),
        "evaluated": (progress.evaluated, 0, _MOST),
        "seed": (state.seed, 0, 2**63 - 1),
        "ranks": (state.ranks, 1, _MOST),
    }
    for name, (value, least, most) in whole.items():
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"its {name} is no whole number from {least} to {most}")
    if progress.best is not None and not _is_finite(progress.best):
        raise ValueError("its best AP is no number")
    if not all(isinstance(text, str) for text in (state.optimizer_name, state.teacher)):
        raise ValueError("its optimizer or teacher is no name")
    for name, values, fits in (
        ("scaler", state.scaler, _is_finite),
        ("processor_settings", state.processor_settings, lambda value: isinstance(value, str)),
    ):
        if not isinstance(values, dict) or not all(map(fits, values.values())):
            raise ValueError(f"its {name} is of another form")


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def copy_arrays(tensors: Mapping[str, paddle.Tensor]) -> Arrays:
    """Tensors as numpy arrays."""
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def set_arrays(tensors: Mapping[str, paddle.Tensor], arrays: Arrays, what: str) -> None:
    """Set every tensor to its array; CheckpointError, and nothing set, if names, shapes or types differ."""
    own = {name: _form(tensor.numpy()) for name, tensor in tensors.items()}
    other = {name: _form(array) for name, array in arrays.items()}
    differing = [name for name in {**own, **other} if own.get(name) != other.get(name)]
    if differing:
        name = differing[0]
        raise CheckpointError(
            f"the training state is of another network: {what} differs in {len(differing)} of {len(own)} "
            f"arrays, such as {show_text(name)}: got {other.get(name, 'none')}, "
            f"expected {own.get(name, 'none')}"
        )
    for name, tensor in tensors.items():
        tensor.set_value(arrays[name])


def _form(array: np.ndarray) -> str:
    return f"{array.shape}" if array.dtype == np.float32 else f"{array.shape} {array.dtype}"


def optimizer_arrays(optimizer: paddle.optimizer.Optimizer, parameters: Parameters) -> Arrays:
    """The optimizer's arrays by our parameter names, which unlike Paddle's are the same in every run."""
    found = _accumulators(optimizer, parameters)
    return {f"{name}|{role}": tensor.numpy() for name, role, _, tensor in found}


def set_optimizer_arrays(
    optimizer: paddle.optimizer.Optimizer, parameters: Parameters, arrays: Arrays, source_name: str
) -> None:
    """Set the arrays of an optimizer, new or used; CheckpointError if they belong to another kind."""
    own_name = type(optimizer).__name__
    if source_name != own_name:
        raise CheckpointError(
            f"the training state is of optimizer {show_text(source_name)}, the config's is {own_name}"
        )
    keys = {(name, role): key for name, role, key, _ in _accumulators(optimizer, parameters)}
    state = {}
    for key, array in arrays.items():
        name, _, role = key.partition("|")
        if name not in parameters:
            raise CheckpointError(f"the training state is of another network: it has '{show_text(name)}'")
        # Adam's powers of beta are one number per weight; all other arrays have the weight's shape.
        shape = (1,) if role.endswith("_pow_acc") else tuple(parameters[name].shape)
        if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
            raise CheckpointError(
                f"the training state is damaged: the optimizer's '{show_text(key)}' is no array {shape} of "
                "finite numbers"
            )
        own_key = keys.get((name, role), f"{parameters[name].name}_{role}_0")
        state[own_key] = paddle.to_tensor(array)
    optimizer.set_state_dict(state)


def _accumulators(
    optimizer: paddle.optimizer.Optimizer, parameters: Parameters
) -> list[tuple[str, str, str, paddle.Tensor]]:
    """(our name, role, Paddle's key, array) of every array of the optimizer."""
    names = {parameter.name: name for name, parameter in parameters.items()}
    found = []
    for key, value in optimizer.state_dict().items():
        if not isinstance(value, paddle.Tensor):
            continue  # the schedule's
        # `conv2d_1.w_0` also starts the key of `conv2d_1.w_0_moment1_0`'s neighbour `conv2d_1.w_01`.
        parts = key.split("_")
        starts = ("_".join(parts[:count]) for count in range(len(parts) - 1, 0, -1))
        parameter = next((start for start in starts if start in names), None)
        if parameter is not None:
            # Paddle's key is the parameter's own name, the role, and a counter.
            role = key.removeprefix(f"{parameter}_").rpartition("_")[0]
            found.append((names[parameter], role, key, value))
    return found
