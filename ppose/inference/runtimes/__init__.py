"""What executes an exported graph; each package is imported only where it is chosen."""

from ppose.inference.runtimes.choice import Runtime, open_runtime

__all__ = ["Runtime", "open_runtime"]
