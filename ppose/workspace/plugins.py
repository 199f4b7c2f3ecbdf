"""Loads third-party components: from modules that the user names, and from installed packages."""

import importlib
import logging
import os
import sys
from functools import cache
from importlib.metadata import entry_points

from ppose.errors import ConfigError

GROUP = "ppose.components"

# The modules that `load_plugin` has imported, for child processes.
loaded_plugins: list[str] = []

_logger = logging.getLogger(__name__)


def load_plugin(name: str) -> None:
    """Import the module of that name, which registers components.

    Searches Python's path, then the current folder. Raises ConfigError if the import fails.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"--plugin {name}: expected the name of a module, such as my_package.losses")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # at the end, where it hides no other module
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"--plugin {name}: cannot import it: {error}") from None
    loaded_plugins.append(name)


@cache
def load_entry_points() -> None:
    """Import the entry points `ppose.components` of installed packages, once; warn of those that fail."""
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except (ImportError, AttributeError, ConfigError) as error:
            package = point.dist.name if point.dist else "a package"
            _logger.warning("components of %s (%s) cannot be imported: %s", package, point.value, error)
