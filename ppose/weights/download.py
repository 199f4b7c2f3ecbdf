"""Downloads files by URL once into a cache folder, and uses them from there without a network.

The cache is the folder named by the environment variable ``PPOSE_HOME``, else the user's cache folder.
"""

import errno
import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from ppose.errors import DownloadError
from ppose.files import file_digest, write_bytes
from ppose.paths import cache_folder, hide_secrets, show_name
from ppose.weights.receive import Limits, receive

_logger = logging.getLogger(__name__)

_LIMITS = Limits(bytes=4 << 30, seconds=2 * 3600, waits=(1, 3))


def fetch(url: str, *, sha256: str | None = None, source: str | None = None, way_out: str = "") -> Path:
    """The local file of a URL: the cached copy, else a download (http, https), or the file itself (file).

    ``source`` is another URL to download the same file from. ``sha256`` (hexadecimal) is checked at every
    call; without one, the digest of the first download is stored beside it and checked from then on. A cached
    copy with another digest is downloaded again. Concurrent processes download a URL only once. A file gets
    its final name only when it is whole; an interrupted download is resumed.

    A file may have 4 GB and take two hours. Raises DownloadError, with the URL (without its credentials) and
    the ``way_out``, if the download fails.
    """
    source = source or url
    is_local = _scheme(source) == "file"
    target = cached_path(url)
    sha256 = (sha256 or _noted_digest(target)).lower()
    way_out = way_out or (
        f"check the network, or download it by hand and give its path (or put it at {target})"
    )
    if not is_local and _is_good(target, sha256):
        return target
    try:
        if is_local:
            return _local_file(source, url, sha256)
        with locked(target, f"downloads {hide_secrets(source)}"):
            _retrieve(source, target, sha256 or _noted_digest(target), way_out)
    except DownloadError:
        raise
    except OSError as error:
        raise _disk_failure(source, target, error) from error
    return target


def cached_path(url: str) -> Path:
    """The path of a URL's download, existing or not; no two URLs share a file."""
    name = unquote(urlsplit(url).path).rstrip("/").rsplit("/", 1)[-1]
    name = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[-100:]
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return cache_folder() / "downloads" / f"{digest}-{name}"


def known_digest(url: str) -> str:
    """The sha256 of a URL's first download; empty if there was none."""
    return _noted_digest(cached_path(url))


@contextmanager
def locked(target: Path, what: str) -> Iterator[None]:
    """Exclude other processes; while waiting for one, log ``what`` it does."""
    import filelock

    target.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(f"{target}.lock")
    try:
        lock.acquire(timeout=0.1)
    except filelock.Timeout:
        _logger.info("waiting for another process that %s", what)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def take(file: Path, url: str, sha256: str) -> Path:
    """Move a file with a verified digest to the place of a URL's download."""
    target = cached_path(url)
    with locked(target, f"downloads {hide_secrets(url)}"):
        os.replace(file, target)
        _note_digest(target, sha256)
    return target


def _scheme(url: str) -> str:
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise DownloadError(f"cannot download {hide_secrets(url)}: {error}") from None
    if scheme not in ("http", "https", "file"):
        raise DownloadError(
            f"cannot download {hide_secrets(url)}: expected http://, https:// or file://, got '{scheme}://'"
        )
    return scheme


def _local_file(source: str, url: str, sha256: str) -> Path:
    # Used in place: a copy in the cache would be stale after the file changes.
    parts = urlsplit(source)
    path = Path(url2pathname(unquote(parts.path)))
    if parts.netloc not in ("", "localhost") or not path.is_file():
        raise DownloadError(f"cannot read {source}: there is no file {parts.netloc}{path} on this machine")
    if not _is_good(path, sha256):
        raise DownloadError(f"{source} has the sha256 {file_digest(path)}, expected {sha256}")
    if source != url and not sha256:
        _note_digest(cached_path(url), file_digest(path))
    return path


def _is_good(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    if sha256 and file_digest(path) != sha256:
        _logger.warning("%s does not have the expected sha256 %s", path, sha256)
        return False
    return True


def _retrieve(url: str, target: Path, sha256: str, way_out: str) -> None:
    """Download, check and store as pooch does, with our own `receive`; the caller holds the target's lock."""
    import pooch

    if urlsplit(url).scheme == "http" and not sha256:
        _logger.warning("%s comes over plain http, where anybody in between can change it", hide_secrets(url))

    def download(_: str, file: str, __: Any) -> None:
        part = receive(url, target, _LIMITS, way_out)
        if not sha256:
            _note_digest(target, file_digest(part.file))
        os.replace(part.file, file)
        part.drop()

    pooch.get_logger().setLevel(logging.ERROR)  # ours says more
    known = f"sha256:{sha256}" if sha256 else None
    try:
        pooch.retrieve(url, known, target.name, target.parent, downloader=download)
    except ValueError as error:  # another checksum
        reason = str(error).partition(". ")[0]
        raise DownloadError(f"cannot download {hide_secrets(url)}: {reason}; {way_out}") from None


def _noted_digest(target: Path) -> str:
    try:
        text = _note_of(target).read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
    return text.strip() if re.fullmatch(r"[0-9a-f]{64}\s*", text) else ""


def _note_digest(target: Path, sha256: str) -> None:
    write_bytes(_note_of(target), f"{sha256}\n".encode())


def _note_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _disk_failure(url: str, target: Path, error: OSError) -> DownloadError:
    way_out = f"set PPOSE_HOME to a writable folder (now {show_name(cache_folder())})"
    if error.errno == errno.ENOSPC:
        way_out = (
            f"free some space, or set PPOSE_HOME to a folder on another disk than {show_name(cache_folder())}"
        )
    reason = error.strerror or str(error)
    return DownloadError(f"cannot download {hide_secrets(url)}: {target.parent}: {reason}; {way_out}")
