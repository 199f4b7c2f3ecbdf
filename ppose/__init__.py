"""ppose: 2D human pose with PaddlePaddle, from a config to a deployed model."""

from typing import TYPE_CHECKING, Any

from ppose.paddle_signals import keep_sigterm
from ppose.processor_settings import prepare_environment
from ppose.version import VERSION as __version__

if TYPE_CHECKING:
    from ppose.engine.load import load_model
    from ppose.zoo.predictor import Predictor

__all__ = ["Predictor", "__version__", "load_model"]

prepare_environment()
keep_sigterm()


def __getattr__(name: str) -> Any:
    # Imported on first use: Paddle takes seconds to load, and an exported model may need none.
    if name == "load_model":
        from ppose.engine.load import load_model

        return load_model
    if name == "Predictor":
        from ppose.zoo.predictor import Predictor

        return Predictor
    raise AttributeError(f"module 'ppose' has no attribute '{name}'")
