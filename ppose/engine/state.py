"""The state of a training run in one file: everything that the next step depends on.

The random choices need no storing: the order of the samples and their transforms follow from (seed, epoch,
index), the network's own (dropout) from (seed, step), and the learning rate from the step.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from ppose.errors import CheckpointError
from ppose.files import DAMAGED, replacing

STATE_FILE = "train_state.npz"

_META = "state.json"
_FORMAT = 1
_GROUPS = ("model", "average", "objective", "optimizer")

Arrays = dict[str, np.ndarray]
Parameters = Mapping[str, paddle.Tensor]


@dataclass
class Progress:
    """How far a run is: whole epochs done, steps done of the next one, and the best evaluation so far."""

    epoch: int = 0
    step_in_epoch: int = 0
    best: float | None = None
    best_epoch: int = 0


@dataclass
class TrainState:
    """Progress, and the arrays of network, moving average (empty without one), objective and optimizer.

    ``objective`` has what is learnt beside the network. ``optimizer`` is keyed by the parameter's name and
    the array's role: `conv.weight|moment1`. ``scaler`` is that of fp16's loss scale, empty without one;
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
    """Write a state, or leave what was there; OSError names the file."""
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
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_state(path: str | Path) -> TrainState:
    """Read a state from its file, or from the folder of a run; nothing in the file is ever run.

    Raises CheckpointError where it is missing, no state, or damaged.
    """
    path = Path(path)
    file = path / STATE_FILE if path.is_dir() else path
    try:
        with np.load(file, allow_pickle=False) as archive:
            meta = json.loads(archive[_META].tobytes())
            if meta["format"] != _FORMAT:
                raise CheckpointError(f"{file}: a training state of format {meta['format']}, not {_FORMAT}")
            groups: dict[str, Any] = {group: {} for group in _GROUPS}
            for key in archive.files:
                group, _, name = key.partition("/")
                if name:
                    groups[group][name] = archive[key]
        del meta["format"]
        return TrainState(**{**meta, "progress": Progress(**meta["progress"])}, **groups)
    except FileNotFoundError:
        raise CheckpointError(f"no training state to resume from at {file}") from None
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror or error}") from error
    except CheckpointError:
        raise
    except DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(
            f"{file} is no training state, or damaged ({reason}); resume from another "
            "(model_dump/<epoch>.npz), or start from weights with --weights"
        ) from error


def copy_arrays(tensors: Mapping[str, paddle.Tensor]) -> Arrays:
    """Tensors as numpy arrays."""
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def set_arrays(tensors: Mapping[str, paddle.Tensor], arrays: Arrays, what: str) -> None:
    """Set every tensor to its array; CheckpointError, with nothing set, where names or shapes differ."""
    own = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    other = {name: array.shape for name, array in arrays.items()}
    differing = [name for name in {**own, **other} if own.get(name) != other.get(name)]
    if differing:
        name = differing[0]
        raise CheckpointError(
            f"the training state is of another network: {what} differs in {len(differing)} of {len(own)} "
            f"arrays, such as {name}: got {other.get(name, 'none')}, expected {own.get(name, 'none')}"
        )
    for name, tensor in tensors.items():
        tensor.set_value(arrays[name])


def optimizer_arrays(optimizer: paddle.optimizer.Optimizer, parameters: Parameters) -> Arrays:
    """The optimizer's arrays by the parameters' names, which unlike Paddle's stay the same between runs."""
    found = _accumulators(optimizer, parameters)
    return {f"{name}|{role}": tensor.numpy() for name, role, _, tensor in found}


def set_optimizer_arrays(
    optimizer: paddle.optimizer.Optimizer, parameters: Parameters, arrays: Arrays, source_name: str
) -> None:
    """Set the arrays of an optimizer, fresh or not; CheckpointError where they are of another kind."""
    own_name = type(optimizer).__name__
    if source_name != own_name:
        raise CheckpointError(f"the training state is of optimizer {source_name}, the config's is {own_name}")
    keys = {(name, role): key for name, role, key, _ in _accumulators(optimizer, parameters)}
    state = {}
    for key, array in arrays.items():
        name, _, role = key.partition("|")
        if name not in parameters:
            raise CheckpointError(f"the training state is of another network: it has '{name}'")
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
