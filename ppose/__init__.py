"""ppose: 2D human pose with PaddlePaddle, from a config to a deployed model."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppose.engine.load import load_model

__version__ = "0.1.0"
__all__ = ["__version__", "load_model"]


def __getattr__(name: str) -> Any:
    if name == "load_model":  # imported on first use: Paddle takes seconds to load
        from ppose.engine.load import load_model

        return load_model
    raise AttributeError(f"module 'ppose' has no attribute '{name}'")
