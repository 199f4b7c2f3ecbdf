"""What executes an exported graph; each package is imported only where it is chosen."""

from ppose.inference.runtimes.choice import (
    Device,
    Precision,
    Runtime,
    RuntimeName,
    avoid_saturation,
    import_runtime,
    list_installed,
    name_precision,
    open_runtime,
)

__all__ = [
    "Device",
    "Precision",
    "Runtime",
    "RuntimeName",
    "avoid_saturation",
    "import_runtime",
    "list_installed",
    "name_precision",
    "open_runtime",
]
