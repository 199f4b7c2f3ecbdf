"""Reports a training run whose loss or weights are no longer finite, and saves the batch."""

from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ppose.engine.distributed.ranks import this_rank
from ppose.engine.state import copy_arrays
from ppose.errors import PposeError
from ppose.files import write_npz

ADVICE = "Look at the data, try a lower LearningRate.base_lr or clip_grad_by_norm, and --resume"


class DivergenceError(PposeError, ArithmeticError):
    """The loss is no longer a finite number."""


def report_divergence(
    model: nn.Layer,
    loss: np.ndarray,
    broken: tuple[dict[str, paddle.Tensor], paddle.Tensor, dict[str, float]] | None,
    folder: Path | None,
    *,
    step: int,
    epoch: int,
) -> DivergenceError:
    """The error for a step in which the ``loss`` (ranks,) of some rank is not finite.

    ``broken`` is this rank's batch, heatmaps and losses, if its own loss is not finite; it is written to
    ``folder``.
    """
    rank = int(np.flatnonzero(~np.isfinite(loss))[0])
    whose = f" of rank {rank}" if len(loss) > 1 else ""
    text = f"the loss{whose} is {loss[rank]} at step {step} (epoch {epoch}){_describe_weights(model)}"
    if broken is not None and folder is not None:
        name = f"diverged_step_{step}" + (f"_rank_{this_rank()}" if whose else "")
        file = folder / f"{name}.npz"
        _write_diagnostics(file, *broken)
        text += "".join(f"; {name} is {value}" for name, value in broken[2].items() if name != "loss")
        text += f"; its batch is in {file}"
    return DivergenceError(f"{text}. {ADVICE}")


def _describe_weights(model: nn.Layer) -> str:
    """Say whether the weights are still finite, as the end of a sentence."""
    broken = [name for name, p in model.named_parameters() if not bool(paddle.isfinite(p).all())]
    if not broken:
        return "; the weights are finite"
    return f"; {len(broken)} arrays of weights are not finite, the first is {broken[0]}"


def _write_diagnostics(
    file: Path, batch: dict[str, paddle.Tensor], heatmaps: paddle.Tensor, losses: dict[str, float]
) -> None:
    """Write a batch, its `loss` with the parts and the network's heatmaps (`prediction`) to an npz file."""
    write_npz(file, {**copy_arrays({**batch, "prediction": heatmaps.astype("float32")}), **losses})
