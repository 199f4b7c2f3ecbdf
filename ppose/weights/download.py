"""Files by URL: fetched once into a cache folder, and used from there without a network.

The cache is the folder named by the environment variable ``PPOSE_HOME``, else the user's cache folder.
"""

import hashlib
import logging
import os
import re
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from ppose.errors import DownloadError
from ppose.files import file_digest
from ppose.paths import cache_folder, hide_secrets
from ppose.weights import answers

logger = logging.getLogger(__name__)

# Checksums by URL: of the files as they were when this was written, since PaddleDetection states none.
_PADDLEDET = "https://bj.bcebos.com/v1/paddledet/models/keypoint"
KNOWN_SHA256 = {
    f"{_PADDLEDET}/tinypose_128x96.pdparams": (
        "d71b9df99248c8f6d46061a02494fc4610cde1853ab2279430bccacc2af4c865"
    ),
    f"{_PADDLEDET}/tinypose_256x192.pdparams": (
        "cfc6c2eb1768f7c4668c3a7d8984f080dc740febc0f1dcb852493225697f6b75"
    ),
}

_MOST_SECONDS = 2 * 3600  # for a whole file
_MOST_BYTES = 4 << 30
_RETRY_AFTER_SECONDS = (1, 3)


def fetch(url: str, *, sha256: str | None = None, force: bool = False) -> Path:
    """The local file of a URL: the cached copy, else a download (http, https), or the file itself (file).

    ``sha256`` (hexadecimal; default: the known one of that URL, if any) is checked at every call; a cached
    copy that fails it is fetched again. ``force`` fetches even where a copy is cached. Processes that ask
    for one URL at the same time download it once. A file gets its final name only when it is whole.

    A file is 4 GB at most and comes within two hours. Raises DownloadError, with the URL (without its
    credentials) and the way out, where the file cannot be had.
    """
    shown = hide_secrets(url)
    sha256 = (sha256 or KNOWN_SHA256.get(url) or "").lower()
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise DownloadError(f"cannot download {shown}: {error}") from None
    if scheme == "file":
        return _local_file(url, sha256)
    if scheme not in ("http", "https"):
        raise DownloadError(
            f"cannot download {shown}: expected http://, https:// or file://, got '{scheme}://'"
        )
    target = cached_path(url)
    if not force and _is_good(target, sha256):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch_locked(url, target, sha256, force)
    except DownloadError:
        raise
    except OSError as error:
        raise _failure(url, target, f"{target.parent}: {error.strerror or error}") from error
    return target


def cached_path(url: str) -> Path:
    """Where the download of a URL lies, or will lie; no two URLs share a file."""
    name = unquote(urlsplit(url).path).rstrip("/").rsplit("/", 1)[-1]
    name = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[-100:]
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return cache_folder() / "downloads" / f"{digest}-{name}"


def _local_file(url: str, sha256: str) -> Path:
    # Used in place: a copy in the cache would go stale when the file is written again.
    parts = urlsplit(url)
    path = Path(url2pathname(unquote(parts.path)))
    if parts.netloc not in ("", "localhost") or not path.is_file():
        raise DownloadError(f"cannot read {url}: there is no file {parts.netloc}{path} on this machine")
    if not _is_good(path, sha256):
        raise DownloadError(f"{url} has the sha256 {file_digest(path)}, expected {sha256}")
    return path


def _fetch_locked(url: str, target: Path, sha256: str, force: bool) -> None:
    import filelock

    lock = filelock.FileLock(f"{target}.lock")
    try:
        lock.acquire(timeout=0.1)
    except filelock.Timeout:
        logger.info("waiting for another process that downloads %s", hide_secrets(url))
        lock.acquire()
    try:
        if force or not _is_good(target, sha256):
            _download(url, target, sha256)
    finally:
        lock.release()


def _is_good(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    if sha256 and file_digest(path) != sha256:
        logger.warning("%s does not have the sha256 %s", path, sha256)
        return False
    return True


def _download(url: str, target: Path, sha256: str) -> None:
    """Download to a name beside the target, check, then rename; the caller holds the target's lock."""
    import requests
    import urllib3

    if urlsplit(url).scheme == "http" and not sha256:
        logger.warning("%s comes over plain http, where anybody on the way can change it", hide_secrets(url))
    part = target.with_name(f"{target.name}.part")
    try:
        for wait in (*_RETRY_AFTER_SECONDS, None):
            try:
                _stream(url, part)
                break
            # The second and third: of redirects and headers that make no sense.
            except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
                if wait is None or not answers.may_pass(error):
                    raise _failure(url, target, answers.reason(error, url)) from error
                logger.warning(
                    "download of %s: %s; trying again in %d s",
                    hide_secrets(url),
                    answers.reason(error, url),
                    wait,
                )
                time.sleep(wait)
        got = file_digest(part) if sha256 else ""
        if got != sha256:
            raise _failure(url, target, f"the file that came has the sha256 {got}, expected {sha256}")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _stream(url: str, part: Path) -> None:
    import requests
    from tqdm import tqdm

    deadline = time.monotonic() + _MOST_SECONDS
    part.unlink(missing_ok=True)  # of a process that was killed
    with answers.ask(url) as response:
        total = answers.check_answer(url, response, _MOST_BYTES)
        label = part.name.removesuffix(".part").partition("-")[2]
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        with (
            open(descriptor, "wb") as file,
            tqdm(total=total, unit="B", unit_scale=True, desc=label, disable=None) as bar,
        ):
            for chunk in answers.chunks(response):
                if file.tell() == 0:
                    answers.check_head(chunk)
                bar.update(file.write(chunk))
                if file.tell() > (total or _MOST_BYTES):
                    raise requests.exceptions.InvalidURL(f"more than {total or _MOST_BYTES:,} bytes came")
                if time.monotonic() > deadline:
                    raise requests.exceptions.InvalidURL(f"not all came within {_MOST_SECONDS:,} s")
            came = file.tell()
            if total is not None and came != total:
                raise requests.ConnectionError(f"the connection ended after {came:,} of {total:,} bytes")
            if came == 0:
                raise requests.exceptions.InvalidURL("the server answered with an empty file")
            file.flush()
            os.fsync(file.fileno())


def _failure(url: str, target: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"cannot download {hide_secrets(url)}: {reason}; check the network, or download it by hand and give "
        f"its path (or put it at {target})"
    )
