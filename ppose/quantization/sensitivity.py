"""Measures a network's sensitivity to the quantization of each convolution."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import paddle
from paddle import nn
from tqdm import tqdm

from ppose.quantization.calibrate import quantized_copy
from ppose.quantization.convolutions import find_convs
from ppose.quantization.scheme import ConvQuantization, quantize_conv2d

# Placeholders for a layer's name.
NOTHING, EVERYTHING = "(nothing)", "(everything)"

_TINY = 1e-30


@dataclass(frozen=True)
class LayerSensitivity:
    """A network with one, no or all convolutions quantized: heatmap error, and AP if measured."""

    layer: str
    error: float
    ap: float | None = None


def measure_sensitivity(
    model: nn.Layer,
    images: Sequence[paddle.Tensor],
    quantizations: Mapping[str, ConvQuantization],
    measure_ap: Callable[[nn.Layer], float] | None = None,
    ap_layers: int = 0,
) -> list[LayerSensitivity]:
    """Measure the effect of quantizing nothing, everything, then each convolution alone, the worst first.

    ``images`` are batches (N, 3, h, w); the error is that of `heatmap_error`. ``measure_ap`` returns the AP
    of a network; it is called for the first two and for the ``ap_layers`` most sensitive convolutions. The
    network runs on the images once per convolution; it is left in eval mode. Shows progress bars.
    """
    errors = _errors_alone(model, images, quantizations)
    everything = quantized_copy(model, quantizations)
    error = heatmap_error(everything, model, images)
    measure: Callable[[nn.Layer], float | None] = measure_ap or (lambda network: None)
    rows = [
        LayerSensitivity(NOTHING, 0.0, measure(model)),
        LayerSensitivity(EVERYTHING, error, measure(everything)),
    ]
    worst = list(errors)[: ap_layers if measure_ap else 0]
    for name in tqdm(worst, desc="AP of the worst", unit="layer", disable=None, leave=False):
        with quantized_alone(model, name, quantizations[name]):
            rows.append(LayerSensitivity(name, errors.pop(name), measure(model)))
    return rows + [LayerSensitivity(name, error) for name, error in errors.items()]


@paddle.no_grad()
def heatmap_error(quantized: nn.Layer, model: nn.Layer, images: Sequence[paddle.Tensor]) -> float:
    """||quantized - model|| / ||model|| of the heatmaps of batches of images."""
    return _relative_error([quantized(image) for image in images], [model(image) for image in images])


@contextmanager
def quantized_alone(model: nn.Layer, name: str, quantization: ConvQuantization) -> Iterator[None]:
    """Context in which only this convolution of the network is quantized."""
    conv = find_convs(model)[name]
    quantized = copy.deepcopy(conv)
    quantize_conv2d(quantized, quantization)
    hook = conv.register_forward_post_hook(lambda _, inputs, output: quantized(*inputs))
    try:
        yield
    finally:
        hook.remove()


@paddle.no_grad()
def _errors_alone(
    model: nn.Layer, images: Sequence[paddle.Tensor], quantizations: Mapping[str, ConvQuantization]
) -> dict[str, float]:
    model.eval()
    expected = [model(image) for image in images]
    errors = {}
    for name in tqdm(quantizations, desc="quantizing one by one", unit="layer", disable=None, leave=False):
        with quantized_alone(model, name, quantizations[name]):
            errors[name] = _relative_error([model(image) for image in images], expected)
    return dict(sorted(errors.items(), key=lambda item: -item[1]))


def _relative_error(got: Sequence[paddle.Tensor], expected: Sequence[paddle.Tensor]) -> float:
    off = sum(float((a - b).square().sum()) for a, b in zip(got, expected, strict=True))
    scale = sum(float(b.square().sum()) for b in expected)
    return (off / max(scale, _TINY)) ** 0.5
