"""What executes an exported graph; each package is imported only where it is chosen."""

from ppose.inference.runtimes.choice import Runtime, import_runtime, name_precision, open_runtime

__all__ = ["Runtime", "import_runtime", "name_precision", "open_runtime"]
