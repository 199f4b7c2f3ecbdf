"""Requests files from servers, with limits, and refuses answers that are no file."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ppose.paths import hide_secrets, show_text

if TYPE_CHECKING:
    import requests

_CHUNK = 1 << 20
_CONNECT_SECONDS = 15
_SILENCE_SECONDS = 60  # without a byte from the server
_MOST_REDIRECTS = 5
_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
_A_PAGE = "the server answered with a web page, not with a file"


@contextmanager
def ask(url: str, headers: Mapping[str, str] | None = None) -> "Iterator[requests.Response]":
    """The answer to a request, its content still unread; requests the file's bytes uncompressed."""
    import requests

    with requests.Session() as session:
        session.max_redirects = _MOST_REDIRECTS
        # Uncompressed, so that the announced length is that of the file.
        asked = {"Accept-Encoding": "identity", **(headers or {})}
        timeout = (_CONNECT_SECONDS, _SILENCE_SECONDS)
        with session.get(url, headers=asked, stream=True, timeout=timeout) as response:
            yield response


def chunks(response: "requests.Response") -> Iterator[bytes]:
    """Yield the content as it arrives, so that the caller notices a server that sends only single bytes."""
    import requests
    import urllib3

    try:
        while chunk := response.raw.read1(_CHUNK):
            yield chunk
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.ReadTimeout(error) from error
    except urllib3.exceptions.ProtocolError as error:
        raise requests.ConnectionError(error) from error


def check_answer(
    url: str, response: "requests.Response", most_bytes: int, statuses: Sequence[int] = (200,)
) -> int | None:
    """The announced length of the file; raises errors of requests for an answer that is no file."""
    import requests

    response.raise_for_status()
    refuse = requests.exceptions.InvalidURL
    if url.startswith("https:") and not response.url.startswith("https:"):
        raise refuse("the server redirects to plain http")
    if response.status_code not in statuses:
        raise refuse(f"the server answered {response.status_code}, not with a whole file")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise refuse(_A_PAGE)
    if response.headers.get("Content-Encoding", "identity") not in ("", "identity"):
        raise refuse("the server compressed the file against our request")
    length = response.headers.get("Content-Length")
    if length is None:
        return None
    if not re.fullmatch("[0-9]{1,20}", length):
        raise refuse(f"the server announces a length of '{show_text(length)}'")
    if not 0 < int(length) <= most_bytes:
        raise refuse(f"the server announces {int(length):,} bytes, expected 1 to {most_bytes:,}")
    return int(length)


def check_head(chunk: bytes) -> None:
    """Raise an error of requests if a file starts like a web page."""
    import requests

    if chunk[:100].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise requests.exceptions.InvalidURL(_A_PAGE)


def may_pass(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    import requests

    if isinstance(error, requests.HTTPError):
        return error.response.status_code in _PASSING_STATUS
    return isinstance(
        error, requests.ConnectionError | requests.Timeout | requests.exceptions.ChunkedEncodingError
    )


def reason(error: Exception, url: str) -> str:
    """The cause of an error, in one line without credentials."""
    import requests

    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code} {show_text(error.response.reason)}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    innermost: BaseException = error
    while (cause := innermost.__cause__ or innermost.__context__) is not None:
        innermost = cause
    text = " ".join(str(innermost).split()) or type(innermost).__name__
    parts = urlsplit(url)  # errors may quote parts of it
    for secret in filter(None, (parts.query, parts.password, parts.username)):
        text = text.replace(secret, "***")
    return show_text(hide_secrets(text), 200)
