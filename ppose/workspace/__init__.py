"""The config language and the registry that turns configs into objects."""

from ppose.workspace.registry import Component, Given, register

__all__ = ["Component", "Given", "register"]
