"""Networks of random weights, quantized in every way, and how far their heatmaps are apart."""

from dataclasses import replace

import numpy as np
import paddle
from paddle import nn

from ppose.quantization.scheme import ConvQuantization, InputQuantization, mark_quantized, quantize_weight

ALL_KINDS = ["signed", "unsigned", "clip", "weights", "float"]


def randomize(network, image):
    """Random weights and norms; activations stay of order one, by the statistics of one batch."""
    rng = np.random.default_rng(0)
    for parameter in network.parameters():
        values = rng.normal(size=parameter.shape)
        scale = np.sqrt(2 / np.prod(parameter.shape[1:])) if parameter.ndim == 4 else 0.3
        parameter.set_value((values * scale).astype(parameter.numpy().dtype))
    norms = [layer for layer in network.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    for norm in norms:
        norm._momentum = 0.0
        gain = rng.uniform(0.5, 1.5, norm.weight.shape) * rng.choice([-1, 1], norm.weight.shape, p=[0.2, 0.8])
        norm.weight.set_value(gain.astype(norm.weight.numpy().dtype))
    network.train()
    network(image)
    network.eval()
    for norm in norms:
        variance = norm._variance.numpy()
        norm._variance.set_value(np.maximum(variance, variance.mean()) + variance.dtype.type(1e-2))
    return network


@paddle.no_grad()
def quantize(network, image, kinds, weights="portable"):
    """Quantize the convolutions, each in another of the kinds, with the ranges that an image gives."""
    ranges, hooks = {}, []
    convs = [layer for layer in network.sublayers() if isinstance(layer, nn.Conv2D)]
    for conv in convs:
        hooks.append(
            conv.register_forward_pre_hook(lambda c, x: ranges.update({c: (x[0].min(), x[0].abs().max())}))
        )
    network(image)
    for hook in hooks:
        hook.remove()
    rng = np.random.default_rng(3)
    for conv in convs:
        low, largest = (float(value) for value in ranges.get(conv, (0, 1)))
        kind = rng.choice(kinds)
        quantization = {
            "signed": ConvQuantization(InputQuantization(largest)),
            "unsigned": ConvQuantization(InputQuantization(largest, signed=low < 0)),
            "clip": ConvQuantization(InputQuantization(largest, clip=0.6 * largest)),
            "weights": ConvQuantization(None),
            "float": None,
        }[kind]
        if quantization is not None:
            quantization = replace(quantization, weights=weights)
            levels, steps = quantize_weight(conv.weight.numpy().astype(np.float64), weights)
            rounded = levels * steps.astype(np.float64).reshape(-1, 1, 1, 1)
            conv.weight.set_value(rounded.astype(conv.weight.numpy().dtype))
            mark_quantized(conv, quantization)


def distance(got, expected):
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)
