"""Where compiled models are kept from one start to the next."""

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
_MOST_BYTES = 2 << 30  # of all models; HRNet-W32 takes 115 MB a shape


@dataclass(frozen=True)
class CompiledCache:
    """The compiled forms of one model, by name, in a folder that no other model has.

    It is the user's own, as the programs are that it holds in effect: what lies there is run. Nothing that
    goes wrong with it is an error; models are then compiled anew.
    """

    folder: Path

    @classmethod
    def of(cls, home: Path, *identity: Any) -> "CompiledCache":
        """That of the model which ``identity`` (for JSON) and the processor's abilities tell apart."""
        key = json.dumps([*identity, sorted(processor_flags())], sort_keys=True)
        return cls(home / hashlib.sha256(key.encode()).hexdigest()[:32])

    def read(self, name: str) -> memoryview | None:
        """What was kept under this name, if it still is as it was."""
        with suppress(OSError):
            kept = memoryview((self.folder / f"{name}{_ENDING}").read_bytes())
            os.utime(self.folder)  # what was used last stays longest
            checksum, data = kept[:_CHECKSUM], kept[_CHECKSUM:]
            return data if hashlib.sha256(data).digest() == checksum else None
        return None

    def write(self, name: str, data: bytes) -> None:
        """Keep this, and no more of other models than there is room for."""
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
