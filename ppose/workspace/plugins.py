"""Components of third parties: in modules that the user names, and in installed packages."""

import importlib
import logging
import os
import sys
from functools import cache
from importlib.metadata import entry_points

from ppose.errors import ConfigError

GROUP = "ppose.components"

# The modules that `load_plugin` has imported, for the processes that this one starts.
loaded_plugins: list[str] = []

_logger = logging.getLogger(__name__)


def load_plugin(name: str) -> None:
    """Import the module of that name, which registers components.

    It is looked for where Python finds modules, then in the current folder. Raises ConfigError where it
    cannot be imported.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigError(f"--plugin {name}: expected the name of a module, such as my_package.losses")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # at the end, where it hides nobody's modules
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"--plugin {name}: it cannot be imported: {error}") from None
    loaded_plugins.append(name)


@cache
def load_entry_points() -> None:
    """Import once what installed packages have in the group `ppose.components`; a warning for what fails."""
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except (ImportError, AttributeError, ConfigError) as error:
            package = point.dist.name if point.dist else "a package"
            _logger.warning("components of %s (%s) cannot be imported: %s", package, point.value, error)
