"""Where PACT's alphas begin for a network that is trained already."""

from collections.abc import Iterable

import paddle
from paddle import nn

from ppose.quantization.calibrate import observe_inputs
from ppose.quantization.convolutions import find_convs
from ppose.quantization.input_range import choose_mse
from ppose.quantization.qat import clipping_alphas


def find_clipping(model: nn.Layer, images: Iterable[paddle.Tensor]) -> dict[str, float]:
    """The clipping of each convolution's input that rounding changes least, by name; see `choose_mse`.

    ``images`` are batches (N, 3, h, w) for a network in float, which is left in eval mode. Largest magnitudes
    are outliers: levels that reach them are too coarse for the rest. Raises DataError for values that are not
    finite.
    """
    observed = observe_inputs(model, images, find_convs(model))
    return {name: choose_mse(seen).largest for name, seen in observed.items()}


def begin_alphas(model: nn.Layer, clipping: dict[str, float]) -> None:
    """Set the alphas of a network with fake quantizers; those that are not named stay as they are."""
    for name, alpha in clipping_alphas(model).items():
        if name in clipping:
            alpha.set_value(paddle.full([1], clipping[name]))
