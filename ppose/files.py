"""Reads and writes whole files: a reader never sees half of one."""

import errno
import gc
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ppose.errors import DataError, PposeError
from ppose.interrupts import cleaned
from ppose.paths import show_name

_CHUNK = 1 << 20
_TRIES = 10
_SHOWN = 40  # characters of a name that its temporary name keeps, so as not to become too long


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it on success and is removed on any error.

    Makes missing parent folders and follows links; writes to a pipe or device directly. OSError (a full
    disk, no permission) names ``path``; DataError reports a name that no file can have.
    """
    try:
        path = Path(path).resolve()
    except ValueError:  # a NUL, or a surrogate that stands for no byte
        raise DataError(f"cannot write {show_name(path)}: invalid file name") from None
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    temporary = path.with_name(f".{path.name[:_SHOWN]}.{secrets.token_hex(4)}.part")
    try:
        with cleaned(partial(temporary.unlink, missing_ok=True)):
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
    except PposeError:  # that of a download is an OSError, too
        raise
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def temporary_folder(parent: str | Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder within ``parent``; remove it and its content at the end."""
    folder = Path(parent) / f"{prefix}{secrets.token_hex(4)}"
    with cleaned(partial(remove_folder, folder)):
        folder.mkdir(0o700)
        yield folder


def remove_folder(folder: Path) -> None:
    """Remove a folder and its content as far as possible, even while another thread writes there."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break


def check_writable(path: str | Path) -> None:
    """Raise the OSError that writing this file would raise, before the work whose result it will hold.

    Leaves nothing behind: for a missing folder it tests the nearest existing one.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "this is a folder, expected a file", str(path))
    folder = next(parent for parent in path.resolve().parents if parent.exists())
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def file_digest(path: str | Path, kind: str = "sha256") -> str:
    """The digest of a file's content, in hexadecimal; ``kind`` is an algorithm of hashlib."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a whole file; on an error the old one stays."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_npz(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write an uncompressed archive of arrays by name; on an error the old one stays."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_bytes(path: str | Path, kind: str, most: int | None = None) -> bytes:
    """The content of a file, which is a ``kind``; DataError that names it if it cannot be read.

    Also for anything but a regular file (a pipe that nobody writes to, an endless device), for an impossible
    name, and for more than ``most`` bytes.
    """
    try:
        with open(path, "rb", buffering=0, opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"cannot read {kind} {show_name(path)}: it is a pipe or device, not a file")
            if most is not None and status.st_size > most:
                raise DataError(
                    f"cannot read {kind} {show_name(path)}: it has {status.st_size:,} bytes, expected "
                    f"{most:,} at most"
                )
            return file.read()
    except FileNotFoundError:
        raise DataError(f"{kind} not found: {show_name(path)}") from None
    except OSError as error:
        raise DataError(f"cannot read {kind} {show_name(path)}: {error.strerror}") from None
    except DataError:
        raise
    except ValueError:  # a NUL, or a surrogate that stands for no byte
        raise DataError(f"{kind} not found: invalid file name {show_name(path)}") from None


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for the writer of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_json(path: str | Path, kind: str) -> Any:
    """The content of a JSON file, which is a ``kind``; DataError that names the file if it is no JSON."""
    content = read_bytes(path, kind)
    try:
        with without_garbage():
            return json.loads(content)
    except (ValueError, RecursionError) as error:  # RecursionError: thousands of nested brackets
        raise DataError(f"{show_name(path)}: not a JSON file: {error}") from None


@contextmanager
def without_garbage() -> Iterator[None]:
    """Pause Python's search for reference cycles: JSON has none, and the search takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def write_json(path: str | Path, value: Any, indent: int | None = None) -> None:
    """Write a JSON file, see `to_json`; on an error the old one stays."""
    write_bytes(path, to_json(value, show_name(path), indent).encode())


def to_json(value: Any, name: str, indent: int | None = None) -> str:
    """A value as JSON; DataError with ``name`` if it holds NaN or infinity.

    JSON has no such numbers, and other readers refuse what Python writes for them. ``indent``: blanks per
    level, on several lines; None: one line.
    """
    try:
        return json.dumps(value, allow_nan=False, indent=indent)
    except ValueError:
        raise DataError(f"{name}: some numbers are NaN or infinite, which JSON cannot hold") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
