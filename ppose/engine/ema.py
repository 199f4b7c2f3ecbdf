"""The moving average of a network's weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import paddle
from paddle import nn


class MovingAverage:
    """Exponential moving average of all floating arrays of a network, including batch norm statistics.

    After step t (counted from 1), average = d * average + (1 - d) * weights with
    d = min(decay, (1 + t) / (10 + t)), as TensorFlow's ExponentialMovingAverage with num_updates, so that the
    influence of early weights soon fades.
    """

    def __init__(self, model: nn.Layer, decay: float) -> None:
        self._model, self._decay = model, decay
        self.arrays: dict[str, paddle.Tensor] = {
            name: tensor.detach().clone() for name, tensor in model.state_dict().items()
        }
        # Collected once: in a network of many small layers this takes a tenth of a step.
        self._pairs = [(self.arrays[name], tensor) for name, tensor in model.state_dict().items()]

    @paddle.no_grad()
    def update(self, step: int) -> None:
        """Update the average with the weights after this step, counted from 1."""
        share = 1 - min(self._decay, (1 + step) / (10 + step))
        for average, tensor in self._pairs:
            if average.is_floating_point():
                average.add_((tensor - average).scale_(share))  # lerp_ takes twice as long
            else:
                average.set_value(tensor)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Context in which the network holds the average instead of its own weights."""
        state = self._model.state_dict()
        own = {name: tensor.detach().clone() for name, tensor in state.items()}
        _set(state, self.arrays)
        try:
            yield
        finally:
            _set(state, own)


def _set(state: dict[str, paddle.Tensor], values: dict[str, paddle.Tensor]) -> None:
    for name, tensor in state.items():
        tensor.set_value(values[name])
