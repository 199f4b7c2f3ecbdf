"""The number format that a network trains in."""

from contextlib import AbstractContextManager
from typing import Any, Literal

import numpy as np
import paddle

from ppose.errors import ConfigError, DeviceError

_DTYPES: dict[str, Literal["bfloat16", "float16"]] = {"bf16": "bfloat16", "fp16": "float16"}


class Precision:
    """float32, or mixed precision (Micikevicius et al., ICLR 2018) if ``dtype`` is "bf16" or "fp16".

    Mixed means Paddle's level O1: weights stay float32, convolutions run in the short type. For fp16, whose
    small gradients would vanish, the loss is scaled up. A step whose gradients overflow is skipped and halves
    the scale; 2,000 good steps double it.
    """

    def __init__(self, dtype: Literal["bf16", "fp16"] | None = None) -> None:
        self._dtype = None if dtype is None else _DTYPES[dtype]
        self._scaler = (
            paddle.amp.GradScaler(enable=True, init_loss_scaling=2.0**16) if dtype == "fp16" else None
        )

    def autocast(self) -> AbstractContextManager:
        """Context in which operations use the short type where it is safe."""
        return paddle.amp.auto_cast(
            enable=self._dtype is not None, dtype=self._dtype or "float16", level="O1"
        )

    def backward(self, loss: paddle.Tensor) -> None:
        """Add the gradients of a float32 loss to the accumulated ones."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def step(self, optimizer: paddle.optimizer.Optimizer) -> None:
        """Let the optimizer take its step."""
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(optimizer)
            self._scaler.update()

    @property
    def state(self) -> dict[str, float]:
        """The state that a resumed run needs; empty without a scaled loss."""
        if self._scaler is None:
            return {}
        state = self._scaler.state_dict()
        counts = {name: state[name] for name in ("incr_count", "decr_count")}
        return {"scale": float(np.asarray(state["scale"]).item()), **counts}

    def resume(self, state: dict[str, Any]) -> None:
        """Resume from the state of a run; if that ran in another format, the scale starts afresh."""
        if self._scaler is not None and state:
            merged: Any = {**self._scaler.state_dict(), **dict(state)}
            merged["scale"] = np.array([state["scale"]], np.float32)
            self._scaler.load_state_dict(merged)


def check_precision(dtype: str | None, device: str, *, quantizes: bool = False) -> None:
    """Raise DeviceError if the device, "gpu" or "cpu", cannot train in this format.

    Raises ConfigError if the network ``quantizes``: Paddle's fake quantizers are in float32.
    """
    if dtype is None:
        return
    if quantizes:
        raise ConfigError(f"--amp {dtype}: slim: QAT trains in float32; leave --amp out")
    if device == "cpu":
        raise DeviceError(
            f"--amp {dtype} needs a GPU: on the CPU Paddle has convolutions in float32 only; leave --amp out"
        )
    supported = {"bf16": paddle.amp.is_bfloat16_supported, "fp16": paddle.amp.is_float16_supported}
    if not supported[dtype]():
        other = " or take --amp fp16" if dtype == "bf16" else ""
        raise DeviceError(f"this GPU has no {_DTYPES[dtype]}: leave --amp out{other}")
