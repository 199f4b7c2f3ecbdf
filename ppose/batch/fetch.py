"""Fetches images by HTTP."""

import time

from ppose.errors import DataError
from ppose.paths import hide_secrets, show_name
from ppose.weights import answers

_WAITS = (1, 4)  # seconds before another try


def fetch_url(url: str, most_bytes: int) -> bytes:
    """Return the file at a URL. Raises DataError if the download fails or exceeds ``most_bytes``."""
    import requests
    import urllib3

    waits = list(_WAITS)
    while True:
        try:
            with answers.ask(url) as response:
                answers.check_answer(url, response, most_bytes)
                data = bytearray()
                for chunk in answers.chunks(response):
                    data += chunk
                    if len(data) > most_bytes:
                        raise requests.exceptions.InvalidURL(f"more than {most_bytes:,} bytes came")
            return bytes(data)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            if not answers.may_pass(error) or not waits:
                where = show_name(hide_secrets(url))
                raise DataError(f"cannot fetch {where}: {answers.reason(error, url)}") from None
            time.sleep(waits.pop(0))
