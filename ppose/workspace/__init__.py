"""The config language and the registry that turns configs into objects."""

from ppose.workspace.build import create, create_settings
from ppose.workspace.config import load_config
from ppose.workspace.registry import Given, register

__all__ = ["Given", "create", "create_settings", "load_config", "register"]
