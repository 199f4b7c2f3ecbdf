"""Keeps Paddle from taking SIGTERM: as it is imported, it puts a report of its own in place of any handler.

A program's own way to end, such as a server's, would be lost by making its first `Predictor`.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_TAKES = "paddle.base"  # the module that takes it
_SIGACTION = 1024  # bytes, more than any system's


def keep_sigterm() -> None:
    """Let the import of Paddle, whoever does it, leave SIGTERM as it is; too late for a loaded Paddle."""
    if os.name == "posix" and _TAKES not in sys.modules and _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


class _Finder:
    """Finds that one module, as Python does, and keeps the signal while it is loaded."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == _TAKES else None
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                with _kept(signal.SIGTERM):
                    load(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


@contextmanager
def _kept(number: int) -> Iterator[None]:
    """Within it, compiled code may take a signal; in any thread, while Python sets handlers in one alone."""
    sigaction: Any = ctypes.CDLL(None).sigaction
    before = ctypes.create_string_buffer(_SIGACTION)
    sigaction(number, None, before)
    try:
        yield
    finally:
        sigaction(number, before, None)
