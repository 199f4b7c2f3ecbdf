"""The config language and the registry that turns configs into objects."""

from ppose.workspace.build import create, create_settings
from ppose.workspace.config import load_config
from ppose.workspace.registry import Component, Given, register
from ppose.workspace.settings import RunSettings, run_settings

__all__ = [
    "Component",
    "Given",
    "RunSettings",
    "create",
    "create_settings",
    "load_config",
    "register",
    "run_settings",
]
