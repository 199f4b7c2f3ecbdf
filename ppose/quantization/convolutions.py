"""A network's convolutions, their weights and their inputs."""

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import paddle
from paddle import nn

from ppose.errors import ConfigError, DataError
from ppose.workspace.registry import suggest


def find_convs(model: nn.Layer) -> dict[str, nn.Conv2D]:
    """The convolutions of a network by name, without transposed ones."""
    return {name: layer for name, layer in model.named_sublayers() if isinstance(layer, nn.Conv2D)}


def match_convs(model: nn.Layer, patterns: Sequence[str], key: str) -> dict[str, nn.Conv2D]:
    """The convolutions of a network that match one of ``patterns``, by name.

    A pattern is the name of a convolution or of a layer that holds some, such as `backbone.stem`; `*`, `?`
    and `[...]` are wildcards. Raises ConfigError, which names the config's ``key``, if one matches nothing.
    """
    convolutions = find_convs(model)
    matched: dict[str, nn.Conv2D] = {}
    for pattern in patterns:
        found = [name for name in convolutions if any(fnmatchcase(n, pattern) for n in _with_holders(name))]
        if not found:
            known = dict.fromkeys(n for name in convolutions for n in _with_holders(name))
            raise ConfigError(f"{key}: no convolution is named '{pattern}'{suggest(pattern, known)}")
        matched |= {name: convolutions[name] for name in found}
    return matched


def weights_of(layer: nn.Conv2D) -> tuple[np.ndarray, np.ndarray]:
    """A convolution's weight and bias (zeros without one) in float64."""
    weight, bias = layer.weight.numpy().astype(np.float64), getattr(layer, "bias", None)
    if bias is None:
        return weight, np.zeros(weight.shape[output_axis(layer)])
    return weight, bias.numpy().astype(np.float64)


def output_axis(layer: nn.Layer) -> int:
    """The axis of output channels in a convolution's weight."""
    return 1 if isinstance(layer, nn.Conv2DTranspose) else 0


@paddle.no_grad()
def watch_inputs(
    model: nn.Layer,
    images: Iterable[paddle.Tensor],
    names: Iterable[str],
    see: Callable[[str, np.ndarray], None],
) -> None:
    """Call ``see`` with the name and each input (N, C, H, W) of the convolutions of those names.

    ``images`` are batches (N, 3, h, w); the network is left in eval mode. Raises DataError for values that
    are not finite.
    """
    convs = find_convs(model)
    hooks = [convs[name].register_forward_pre_hook(_make_watcher(name, see)) for name in names]
    model.eval()
    try:
        for image in images:
            if not bool(paddle.isfinite(model(image)).all()):
                raise DataError("calibration: the network's heatmaps are not finite")
    finally:
        for hook in hooks:
            hook.remove()


def _make_watcher(name: str, see: Callable[[str, np.ndarray], None]) -> Callable[[nn.Layer, Any], Any]:
    def watch(conv: nn.Layer, inputs: Any) -> None:
        values = inputs[0].numpy()
        if not np.isfinite([values.min(), values.max()]).all():
            raise DataError(f"calibration: the input of the convolution {name} is not finite")
        see(name, values)

    return watch


def _with_holders(name: str) -> Iterable[str]:
    """`a.b.c` -> a, a.b, a.b.c"""
    parts = name.split(".")
    return (".".join(parts[: count + 1]) for count in range(len(parts)))
