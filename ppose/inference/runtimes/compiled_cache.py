"""Caches compiled models between starts."""

import hashlib
import json
import logging
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppose.files import write_bytes
from ppose.paths import show_name
from ppose.processor import processor_flags

_logger = logging.getLogger(__name__)

_ENDING = ".blob"
_CHECKSUM = hashlib.sha256().digest_size  # bytes, before the data
_MOST_BYTES = 2 << 30  # for all models; HRNet-W32 takes 115 MB a shape


@dataclass(frozen=True)
class CompiledCache:
    """The compiled forms of one model, by name, in a folder of its own.

    The folder must be the user's own, since its content is executed. No problem with the cache is an error;
    models are then compiled again.
    """

    folder: Path

    @classmethod
    def of(cls, home: Path, *identity: Any) -> "CompiledCache":
        """The cache of the model that ``identity`` (JSON values) and the processor's flags identify."""
        key = json.dumps([*identity, sorted(processor_flags())], sort_keys=True)
        return cls(home / hashlib.sha256(key.encode()).hexdigest()[:32])

    def read(self, name: str) -> memoryview | None:
        """The data kept under this name; None if missing or damaged."""
        with suppress(OSError):
            kept = memoryview((self.folder / f"{name}{_ENDING}").read_bytes())
            os.utime(self.folder)  # the least recently used is deleted first
            checksum, data = kept[:_CHECKSUM], kept[_CHECKSUM:]
            return data if hashlib.sha256(data).digest() == checksum else None
        return None

    def write(self, name: str, data: bytes) -> None:
        """Keep this, and delete other models if the cache is too large."""
        try:
            write_bytes(self.folder / f"{name}{_ENDING}", hashlib.sha256(data).digest() + data)
        except OSError as error:
            _logger.info("compiled models are not kept: %s: %s", show_name(self.folder), error.strerror)
        else:
            self._trim()

    def _trim(self) -> None:
        with suppress(OSError):
            folders = sorted(self.folder.parent.iterdir(), key=lambda path: -path.stat().st_mtime)
            room = _MOST_BYTES
            for folder in folders:
                kept = list(folder.glob(f"*{_ENDING}"))
                room -= sum(file.stat().st_size for file in kept)
                if kept and room < 0 and folder != self.folder:
                    shutil.rmtree(folder)
