"""Runtimes that execute exported graphs; a package is imported only when it is chosen."""

from ppose.inference.runtimes.choice import Runtime, avoid_saturation, name_precision, open_runtime
from ppose.inference.runtimes.kinds import (
    Device,
    Hint,
    Precision,
    RuntimeName,
    import_runtime,
    list_installed,
)

__all__ = [
    "Device",
    "Hint",
    "Precision",
    "Runtime",
    "RuntimeName",
    "avoid_saturation",
    "import_runtime",
    "list_installed",
    "name_precision",
    "open_runtime",
]
