"""Folders and files on this machine, in memory, or in an object store."""

import glob
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from ppose.errors import DataError
from ppose.files import replacing, write_bytes
from ppose.paths import hide_secrets, show_name, show_text

_logger = logging.getLogger(__name__)

Result = TypeVar("Result")

LOCAL = ("file", "local")  # this machine's disks, by fsspec's names
# Opened by pyarrow, which contains their clients.
_ARROW = ("s3", "gs", "gcs")
# Stores whose writes are atomic.
_WRITES_WHOLE = (*_ARROW, "s3a", "abfs", "abfss", "az", "memory")
# Errors of one file, not of its store.
OF_THE_FILE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
_WAITS = (0.5, 2.0)  # seconds before another try


@dataclass(frozen=True)
class Entry:
    """A file of a place: its name below it, its size in bytes, and a stamp that changes with its content."""

    name: str
    size: int
    stamp: str


@dataclass(frozen=True)
class Place:
    """A folder or file in an fsspec file system; ``url`` is the user's.

    ``pattern`` selects files below a folder: a name, or one with `*`. Without it, all files.
    """

    url: str
    scheme: str
    path: str
    system: Any
    pattern: str = ""

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine's disks."""
        return self.scheme == "file"

    def __str__(self) -> str:
        return show_name(hide_secrets(self.url))

    def list_files(self) -> list[Entry]:
        """The selected files, sorted by name; DataError if the store cannot list them."""
        with reaching(self):
            try:
                entries = [*(self._list_local() if self.is_local else self._list())]
            except FileNotFoundError:
                entries = []
        return sorted(entries, key=lambda entry: entry.name)

    def _list(self) -> Iterator[Entry]:
        path, root = self.locate(self.pattern), len(self.path.rstrip("/")) + 1
        found: dict[str, dict[str, Any]] = {}
        if "*" in self.pattern:
            found = self.system.glob(_only_stars(path), detail=True, on_error="raise")
        elif self.pattern:
            found = {path: self.system.info(path)}
        else:
            for _, _, files in self.system.walk(path, detail=True, on_error="raise"):
                found |= {about["name"]: about for about in files.values()}
        for name, about in found.items():
            if about["type"] == "file":
                yield Entry(name[root:], int(about["size"] or 0), _stamp(about))

    def _list_local(self) -> Iterator[Entry]:
        """Files, links to files, and broken links, which fsspec does not distinguish."""
        folder = Path(self.path)
        paths: Iterable[Path] = folder.glob(_only_stars(self.pattern)) if self.pattern else _walk(folder)
        for path in paths:
            if path.is_file():
                about = path.stat()
                yield Entry(path.relative_to(folder).as_posix(), about.st_size, str(about.st_mtime_ns))
            elif path.is_symlink() and not path.exists():
                yield Entry(path.relative_to(folder).as_posix(), 0, "")

    def exists(self, name: str = "") -> bool:
        """Whether this file, or without a name the place itself, exists."""
        with reaching(self):
            return bool(self.system.exists(self.locate(name)))

    def locate(self, name: str) -> str:
        """The path of a file below this place, in its file system."""
        return f"{self.path.rstrip('/')}/{name}" if name else self.path

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading; OSError."""
        return self.system.open(self.locate(name), "rb")

    def read(self, name: str) -> bytes:
        """Return a file's content; retries if the store fails; OSError."""
        return try_again(lambda: self.system.cat_file(self.locate(name)))

    def write(self, name: str, data: bytes) -> None:
        """Write a file atomically; OSError."""
        path = self.locate(name)
        if self.is_local:
            write_bytes(path, data)
        elif self.scheme in _WRITES_WHOLE:
            try_again(lambda: self.system.pipe_file(path, data))
        else:
            self.system.makedirs(path.rpartition("/")[0], exist_ok=True)
            temporary = f"{path}.{os.getpid()}.part"
            try_again(lambda: self.system.pipe_file(temporary, data))
            self.system.mv(temporary, path)

    def write_first(self, name: str, data: bytes) -> None:
        """Write a file unless it exists: of two concurrent writers on one machine, one writes."""
        if not self.is_local:
            if not self.exists(name):
                self.write(name, data)
            return
        path = Path(self.locate(name))
        with suppress(FileExistsError), replacing(path.with_name(f"{path.name}.new")) as temporary:
            temporary.write_bytes(data)
            os.link(temporary, path)
        path.with_name(f"{path.name}.new").unlink(missing_ok=True)


def open_place(url: str) -> Place:
    """Return the place of a path or an fsspec URL; DataError for an unknown or unreachable store."""
    import fsspec.core  # here, so that its own ImportError is not reported as a fault of the store

    scheme = urlsplit(url).scheme if "://" in url else "file"
    if scheme in LOCAL:
        path = Path(url.removeprefix(f"{scheme}://")).absolute().as_posix()
        return Place(url, "file", path, fsspec.filesystem("file"))
    try:
        if scheme not in _ARROW:
            system, path = fsspec.core.url_to_fs(url)
            return Place(url, scheme, path, system)
        parts = urlsplit(url)
        system = _open_bucket(scheme, parts.netloc, parts.query)
    except (ValueError, ImportError, OSError) as error:
        raise _unreachable(url, error) from None
    return Place(url, scheme, f"{parts.netloc}{parts.path}".rstrip("/"), system)


def open_input(url: str) -> Place:
    """Return the place of a folder, of one file, or of the files that match a URL with `*`; DataError."""
    place = open_place(url)
    if "*" not in place.path:
        with reaching(place):
            try:
                if place.system.info(place.path)["type"] == "directory":
                    return place
            except FileNotFoundError:
                return place
    folder = place.path.partition("*")[0].rpartition("/")[0]
    return replace(place, path=folder, pattern=place.path[len(folder) + 1 :])


@lru_cache(maxsize=256)
def _open_bucket(scheme: str, bucket: str, query: str) -> Any:
    """Open an object store; ``query`` holds pyarrow options, such as `endpoint_override`."""
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import FileSystem

    system, _ = FileSystem.from_uri(f"{scheme}://{bucket}{'?' if query else ''}{query}")
    return ArrowFSWrapper(system)


@contextmanager
def reaching(place: Place) -> Iterator[None]:
    """Within it, an OSError becomes a DataError that names the place."""
    try:
        yield
    except OSError as error:
        raise _unreachable(place.url, error) from None


def try_again(work: Callable[[], Result]) -> Result:
    """Return the result of ``work``; retry twice at an OSError, except those of the file itself; OSError."""
    for wait in _WAITS:
        try:
            return work()
        except OF_THE_FILE:
            raise
        except OSError as error:
            _logger.debug("again in %g s: %s", wait, error)
            time.sleep(wait)
    return work()


def explain(error: BaseException) -> str:
    """Return a store's error in one line without credentials."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return show_text(hide_secrets(" ".join(text.split())), 300)


def _walk(folder: Path) -> Iterator[Path]:
    """The files of a folder and those below, also of linked ones, but not round in a circle."""

    def fail(error: OSError) -> None:
        raise error

    above = {str(folder): {os.path.realpath(folder)}}
    for path, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        known = above.pop(path)
        real = {name: os.path.realpath(os.path.join(path, name)) for name in folders}
        folders[:] = [name for name in folders if real[name] not in known]
        above |= {os.path.join(path, name): known | {real[name]} for name in folders}
        yield from (Path(path, name) for name in names)


def _only_stars(pattern: str) -> str:
    """A pattern for glob in which only `*` is special: file names may contain `[` and `?`."""
    return "*".join(glob.escape(part) for part in pattern.split("*"))


def _unreachable(url: str, error: BaseException) -> DataError:
    return DataError(f"cannot reach {show_name(hide_secrets(url))}: {explain(error)}")


def _stamp(about: dict[str, Any]) -> str:
    """A text that changes with a file's content, if the store gives one: an ETag, or a time."""
    return str(next((about[key] for key in ("ETag", "etag", "mtime", "created") if about.get(key)), ""))
