"""Trained networks made ready for deployment."""

import copy

from paddle import nn


def deploy_form(model: nn.Layer) -> nn.Layer:
    """A copy of a network in eval mode, with the same signature and the same heatmaps."""
    form = copy.deepcopy(model)
    form.eval()
    return form
