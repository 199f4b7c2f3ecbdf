"""Quantization-aware training: adds paddleslim's fake quantizers to a network, and removes them again.

Each convolution's input is clipped at a learnt alpha (PACT: Choi et al., "PACT: Parameterized Clipping
Activation for Quantized Neural Networks", 2018), then it and the weight are rounded to eight bits; gradients
pass the rounding unchanged. The highest level of inputs is a moving average of their largest magnitude;
inputs that are never negative have levels from 0 to 255 (`InputQuantizer`).
"""

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import paddle
from paddle import nn

from ppose.errors import CheckpointError, ConfigError
from ppose.paddle_internals import (
    MAOutputScaleLayer,
    QuantizedConv2D,
    clipping_alpha,
    conv_groups,
    input_quantizer,
    observed_layer,
    set_weight_quantizer,
    skip_quantization,
    weight_quantizer,
)
from ppose.quantization.convolutions import match_convs
from ppose.quantization.fake_quantizers import InputQuantizer, WeightQuantizer
from ppose.quantization.scheme import ConvQuantization, InputQuantization, WeightRange, quantize_conv2d
from ppose.workspace import register

_logger = logging.getLogger(__name__)

# Attribute of a wrapped convolution, not a sublayer: the convolution that it replaced, with the same weight.
_PLAIN = "_ppose_plain"
# Start of the moving average's sum and count. 0 would never change in Paddle; Paddle's own 1 clips large
# inputs and loses small ones in the first steps of trained weights.
_BEGIN = 1e-8
# How many of the layers that stay in float are logged by name.
_LISTED = 10
# For an input that was always 0: a step cannot be 0.
_LEAST = 1e-6


@dataclass(frozen=True, kw_only=True)
class QuantConfig:
    """The keys of paddleslim's `quant_config`, with the values that mean int8 here.

    ``activation_preprocess_type`` PACT clips inputs, None does not; ``moving_rate`` is the decay of the
    moving average. ``window_size`` (of an unsupported quantizer), ``onnx_format`` (of paddleslim's export)
    and Linear, which no network here has, are accepted without effect.
    """

    activation_preprocess_type: Literal["PACT"] | None = None
    weight_preprocess_type: None = None
    weight_quantize_type: Literal["channel_wise_abs_max"] = "channel_wise_abs_max"
    activation_quantize_type: Literal["moving_average_abs_max"] = "moving_average_abs_max"
    weight_bits: Literal[8] = 8
    activation_bits: Literal[8] = 8
    dtype: Literal["int8"] = "int8"
    window_size: int = 10000
    moving_rate: float = 0.9
    quantizable_layer_type: Sequence[Literal["Conv2D", "Linear"]] = ("Conv2D", "Linear")
    fuse_conv_bn: bool = False
    onnx_format: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.moving_rate < 1:
            raise ConfigError(
                f"quant_config.moving_rate is {self.moving_rate}, expected a number from 0 to below 1"
            )
        if "Conv2D" not in self.quantizable_layer_type:
            raise ConfigError("quant_config.quantizable_layer_type: expected Conv2D, networks have no other")
        if self.fuse_conv_bn:
            raise ConfigError(
                "quant_config.fuse_conv_bn is true, expected false: the export folds batch norms"
            )


_DEFAULT = QuantConfig()

L = TypeVar("L", bound=nn.Layer)


@register(names=("QAT",))
class QuantizationAwareTraining:
    """The `QAT` block: the effect of `slim: QAT` on a network.

    ``print_model`` logs how many convolutions are quantized. ``not_quantized`` keeps convolutions in float,
    by name or pattern (see `match_convs`). From epoch ``freeze_epoch`` on, counted from 0, the highest levels
    of inputs and the batch norms' statistics are frozen (Krishnamoorthi, 2018); None: never. With
    ``calibration_images`` that many training images determine the start of PACT's alphas for float weights
    (see `find_clipping`), instead of 100. Without ``depthwise`` depthwise convolutions stay in float: their
    input channels may differ widely in range, and they hold few weights. ``weights`` is portable for the same
    results on every processor, or full (see `scheme`).
    """

    def __init__(
        self,
        quant_config: QuantConfig = _DEFAULT,
        print_model: bool = False,
        not_quantized: list[str] | None = None,  # a Sequence[str] would accept a text
        freeze_epoch: int | None = None,
        calibration_images: int = 0,
        depthwise: bool = True,
        weights: WeightRange = "portable",
    ) -> None:
        if calibration_images < 0:
            raise ConfigError(f"QAT.calibration_images is {calibration_images}, expected 0 or more")
        if calibration_images and quant_config.activation_preprocess_type is None:
            raise ConfigError(
                "QAT.calibration_images needs PACT: set activation_preprocess_type, or remove it"
            )
        if freeze_epoch is not None and freeze_epoch < 1:  # unmeasured ranges would clip everything
            raise ConfigError(f"QAT.freeze_epoch is {freeze_epoch}, expected 1 or more")
        self.freeze_epoch, self.calibration_images = freeze_epoch, calibration_images
        self.weights = weights
        self._depthwise = depthwise
        self._config, self._print, self._not_quantized = quant_config, print_model, not_quantized or []

    def wrap(self, model: nn.Layer) -> None:
        """Replace the convolutions of a network by ones with fake quantizers, in place.

        Weights keep their names; the quantizers add `conv._fake_quant_input._scale`,
        `conv._act_preprocess.alpha` and others. PACT is paddleslim's: alpha starts at 100, and learns 1000
        times as fast as the rest. Input ranges start with that of the first batch. Raises ConfigError.
        """
        kept = match_convs(model, self._not_quantized, "QAT.not_quantized")
        plain = dict(model.named_sublayers())
        if not self._depthwise:
            kept |= {name: conv for name, conv in _find(model, nn.Conv2D) if conv_groups(conv) > 1}
        for conv in kept.values():
            skip_quantization(conv)
        config = {**asdict(self._config), "moving_rate": float(self._config.moving_rate)}
        with _quiet():
            slim = _import_qat()(
                {**config, "quantizable_layer_type": ["Conv2D"]}, act_quantize=InputQuantizer
            )
            slim.quantize(model)
        for name, measured in _find(model, MAOutputScaleLayer):
            _put(model, name, observed_layer(measured))  # only paddleslim's exporter needs the observer
        wrapped = _find(model, QuantizedConv2D)
        if not wrapped:
            raise ConfigError(f"slim: QAT: no convolution is left to quantize, {len(kept)} are not_quantized")
        for name, layer in wrapped:
            vars(layer)[_PLAIN] = plain[name]
            set_weight_quantizer(layer, WeightQuantizer(layer.weight.shape[0], self.weights))
            input_quantizer(layer).begin(config["moving_rate"], _BEGIN)  # paddleslim does not pass the rate
        if self._print:
            _logger.info(
                "slim: QAT: %d convolutions in int8%s; in float: %s",
                len(wrapped),
                "" if self._config.activation_preprocess_type is None else " with PACT",
                ", ".join(kept) or "none" if len(kept) <= _LISTED else len(kept),
            )


def is_quantization_aware(model: nn.Layer) -> bool:
    """Whether a network has fake quantizers of `QuantizationAwareTraining`."""
    return any(isinstance(layer, QuantizedConv2D) for layer in model.sublayers())


def is_quantizer_key(key: str) -> bool:
    """Whether a checkpoint's key is an array of a fake quantizer, which a network in float does not have."""
    return "._fake_quant_" in key or "._act_preprocess." in key


def complete_quantizers(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A checkpoint's arrays; quantizers without these flags get paddleslim's: signed, full range."""
    added: dict[str, np.ndarray] = {}
    for last, name, value in (("input", "_signed", 1.0), ("weight", "_portable", 0.0)):
        scales = [key for key in arrays if key.endswith(f"._fake_quant_{last}._scale")]
        added |= {key.removesuffix("_scale") + name: np.full(1, value, np.float32) for key in scales}
    return added | dict(arrays)


def weight_ranges(model: nn.Layer) -> set[WeightRange]:
    """The kinds of weight rounding in a network with fake quantizers."""
    return {layer.range() for _, layer in _find(model, WeightQuantizer)}


def set_weight_range(model: nn.Layer, kind: WeightRange) -> None:
    """Set the kind of weight rounding of a network with fake quantizers."""
    for _, layer in _find(model, WeightQuantizer):
        layer.set_range(kind)


def convert_qat(model: nn.Layer) -> nn.Layer:
    """Convert a network with fake quantizers to a plain one of the same class that is equal in eval mode.

    Its convolutions are plain again, quantized by `quantize_conv2d` with the learnt scales and alphas. The
    given network stays unchanged. Raises CheckpointError if a quantizer has seen no input.
    """
    model = copy.deepcopy(model)
    for name, layer in _find(model, QuantizedConv2D):
        conv = vars(layer)[_PLAIN]
        conv.training = layer.training
        quantize_conv2d(
            conv, ConvQuantization(_input_quantization(name, layer), weight_quantizer(layer).range())
        )
        _put(model, name, conv)
    return model


def clipping_alphas(model: nn.Layer) -> dict[str, paddle.Tensor]:
    """PACT's alphas (1,) by the names of their convolutions; empty without PACT."""
    alphas = {name: clipping_alpha(layer) for name, layer in _find(model, QuantizedConv2D)}
    return {name: alpha for name, alpha in alphas.items() if alpha is not None}


def input_observers(model: nn.Layer) -> list[nn.Layer]:
    """The layers that update the range of inputs in training mode."""
    return [layer for _, layer in _find(model, InputQuantizer)]


def _input_quantization(name: str, layer: QuantizedConv2D) -> InputQuantization:
    observer = input_quantizer(layer)
    is_paddleslims_start = observer.count == observer.total == 1
    if observer.count < 0.5 or is_paddleslims_start:
        raise CheckpointError(
            f"the quantizer of {name} has seen no input yet: were these weights trained with slim: QAT?"
        )
    largest, learnt = max(observer.largest, _LEAST), clipping_alpha(layer)
    if learnt is None:
        return InputQuantization(largest, observer.is_signed())
    alpha = float(learnt.numpy()[0])
    if alpha <= 0:
        raise CheckpointError(f"PACT's alpha of {name} is {alpha:.3g}, expected above 0: repeat the training")
    return InputQuantization(largest, observer.is_signed(), clip=alpha if alpha < largest else None)


def _find(model: nn.Layer, kind: type[L]) -> list[tuple[str, L]]:
    return [(name, layer) for name, layer in model.named_sublayers() if isinstance(layer, kind)]


def _put(model: nn.Layer, name: str, layer: Any) -> None:
    """Replace the layer of that name."""
    holder, _, last = name.rpartition(".")
    for part in holder.split(".") if holder else ():
        model = getattr(model, part) if not isinstance(model, nn.LayerDict) else model[part]
    model.add_sublayer(last, layer)


def _import_qat() -> type:
    try:
        from paddleslim.dygraph.quant import QAT
    except ImportError as error:
        raise ConfigError(
            f"slim: QAT needs paddleslim ({error}): pip install 'ppose[slim]', then pip install --no-deps "
            "paddleslim==2.6.0"
        ) from None
    return QAT


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings of paddleslim and Paddle about parts that are not used here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
