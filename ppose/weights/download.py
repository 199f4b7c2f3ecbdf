"""Files by URL: fetched once into a cache folder, and used from there without a network.

The cache is the folder named by the environment variable ``PPOSE_HOME``, else the user's cache folder.
"""

import hashlib
import logging
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from ppose.errors import DownloadError

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

# Checksums by URL, for files whose publisher states one; PaddleDetection states none for its weights.
KNOWN_SHA256: dict[str, str] = {}

_CHUNK = 1 << 20
_CONNECT_SECONDS = 15
_SILENCE_SECONDS = 60  # without a byte from the server
_RETRY_AFTER_SECONDS = (1, 3)
_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)


def fetch(url: str, *, sha256: str | None = None, force: bool = False) -> Path:
    """The local file of a URL: the cached copy, else a download (http, https), or the file itself (file).

    ``sha256`` (hexadecimal; default: the known one of that URL, if any) is checked at every call; a cached
    copy that fails it is fetched again. ``force`` fetches even where a copy is cached. Processes that ask
    for one URL at the same time download it once. A file gets its final name only when it is whole.

    Raises DownloadError, with the URL and the way out, where the file cannot be had.
    """
    sha256 = (sha256 or KNOWN_SHA256.get(url) or "").lower()
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise DownloadError(f"cannot download {url}: {error}") from None
    if scheme == "file":
        return _local_file(url, sha256)
    if scheme not in ("http", "https"):
        raise DownloadError(
            f"cannot download {url}: expected http://, https:// or file://, got '{scheme}://'"
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
    home = os.environ.get("PPOSE_HOME")
    if not home:
        import platformdirs

        home = platformdirs.user_cache_dir("ppose")
    name = unquote(urlsplit(url).path).rstrip("/").rsplit("/", 1)[-1]
    name = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[-100:]
    digest = hashlib.sha256(url.encode()).hexdigest()[:16]
    return Path(home).expanduser() / "downloads" / f"{digest}-{name}"


def _local_file(url: str, sha256: str) -> Path:
    # Used in place: a copy in the cache would go stale when the file is written again.
    parts = urlsplit(url)
    path = Path(url2pathname(unquote(parts.path)))
    if parts.netloc not in ("", "localhost") or not path.is_file():
        raise DownloadError(f"cannot read {url}: there is no file {parts.netloc}{path} on this machine")
    if not _is_good(path, sha256):
        raise DownloadError(f"{url} has the sha256 {_sha256(path)}, expected {sha256}")
    return path


def _fetch_locked(url: str, target: Path, sha256: str, force: bool) -> None:
    import filelock

    lock = filelock.FileLock(f"{target}.lock")
    try:
        lock.acquire(timeout=0.1)
    except filelock.Timeout:
        logger.info("waiting for another process that downloads %s", url)
        lock.acquire()
    try:
        if force or not _is_good(target, sha256):
            _download(url, target, sha256)
    finally:
        lock.release()


def _is_good(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    if sha256 and _sha256(path) != sha256:
        logger.warning("%s does not have the sha256 %s", path, sha256)
        return False
    return True


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _download(url: str, target: Path, sha256: str) -> None:
    """Download to a name beside the target, check, then rename; the caller holds the target's lock."""
    import requests

    part = target.with_name(f"{target.name}.part")
    try:
        for wait in (*_RETRY_AFTER_SECONDS, None):
            try:
                _stream(url, part)
                break
            except requests.RequestException as error:
                if wait is None or not _may_pass(error):
                    raise _failure(url, target, _reason(error)) from error
                logger.warning("download of %s: %s; trying again in %d s", url, _reason(error), wait)
                time.sleep(wait)
        got = _sha256(part) if sha256 else ""
        if got != sha256:
            raise _failure(url, target, f"the file that came has the sha256 {got}, expected {sha256}")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _stream(url: str, part: Path) -> None:
    import requests
    from tqdm import tqdm

    # Uncompressed, so that the announced length is that of the file.
    headers = {"Accept-Encoding": "identity"}
    timeout = (_CONNECT_SECONDS, _SILENCE_SECONDS)
    with (
        requests.get(url, headers=headers, stream=True, timeout=timeout) as response,
        part.open("wb") as file,
    ):
        response.raise_for_status()
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise requests.exceptions.InvalidURL("the server answered with a web page, not with a file")
        total = int(response.headers.get("Content-Length", 0)) or None
        label = part.name.removesuffix(".part").partition("-")[2]
        with tqdm(total=total, unit="B", unit_scale=True, desc=label, disable=None) as bar:
            for chunk in response.iter_content(_CHUNK):
                bar.update(file.write(chunk))
        came = response.raw.tell()
        if total is not None and came != total:
            raise requests.ConnectionError(f"the connection ended after {came:,} of {total:,} bytes")
        file.flush()
        os.fsync(file.fileno())


def _may_pass(error: "requests.RequestException") -> bool:
    """Whether the same request may succeed a moment later."""
    import requests

    if isinstance(error, requests.HTTPError):
        return error.response.status_code in _PASSING_STATUS
    return isinstance(
        error, requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError
    )


def _reason(error: "requests.RequestException") -> str:
    import requests

    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    innermost: BaseException = error
    while (cause := innermost.__cause__ or innermost.__context__) is not None:
        innermost = cause
    return " ".join(str(innermost).split()) or type(innermost).__name__


def _failure(url: str, target: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"cannot download {url}: {reason}; check the network, or download it by hand and give its path "
        f"(or put it at {target})"
    )
