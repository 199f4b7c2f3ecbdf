"""Requests of those who mean harm, or know no better: each is refused, and the server goes on."""

import base64
import json
import re
import socket
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import cv2
import numpy as np
import pytest
import requests
from serving_limits import LIMITS

ROUNDS = 20


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_head(width, height):
    """A PNG that says to be of this size; its data are zeros, well packed."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    data = _chunk(b"IDAT", zlib.compress(bytes(min(width * height, 30_000_000)), 9))
    return b"\x89PNG\r\n\x1a\n" + head + data + _chunk(b"IEND", b"")


def _image(ending=".png", size=(64, 64)):
    return cv2.imencode(ending, np.full((*size, 3), 90, np.uint8))[1].tobytes()


def _head(*lines, method=b"POST", path=b"/v1/poses"):
    head = b"".join(line + b"\r\n" for line in (method + b" " + path + b" HTTP/1.1", b"Host: a", *lines))
    return head + b"\r\n"


def _post(body, kind=b"image/png", path=b"/v1/poses", extra=()):
    lines = (b"Content-Type: " + kind, b"Content-Length: %d" % len(body), b"Connection: close", *extra)
    return _head(*lines, path=path) + body


def _json(value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return _post(text, b"application/json")


def _get(path):
    return _head(b"Connection: close", method=b"GET", path=path)


def _form(*parts, boundary=b"x", kind=b"multipart/form-data; boundary=x"):
    return _post(b"".join(b"--" + boundary + b"\r\n" + part for part in parts) + b"--x--\r\n", kind)


def _boxes(text):
    return _post(_image(), path=b"/v1/poses?boxes=" + text)


_PNG, _CODED = _image(), base64.b64encode(_image()).decode()
_FILE = b'Content-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + _PNG + b"\r\n"
_JPEG = _image(".jpg")
_BMP = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60000, 40000, 1, 24, 0, 0, 0, 0, 0, 0)
_CHUNKS = (b"60000\r\n" + bytes(0x60000) + b"\r\n") * 2 + b"0\r\n\r\n"
_CONTINUE = re.compile(rb"^HTTP/1.1 100 .*?\r\n\r\n")

# What is sent, and the status of the answer.
REQUESTS = {
    # Images that are none, or more than they look.
    "nothing": (_post(b""), 422),
    "a text": (_post(b"hello"), 415),
    "a picture in words": (_post(b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"image/svg+xml"), 415),
    "a program": (_post(b"\x7fELF" + bytes(200)), 415),
    "an archive": (_post(b"PK\3\4" + bytes(200)), 415),
    "a rare format": (_post(b"P6 4 4 255\n" + bytes(48)), 415),
    "OpenEXR": (_post(b"\x76\x2f\x31\x01\2\0\0\0" + bytes(100)), 415),
    "a PNG's first bytes": (_post(_PNG[:20]), 415),
    "half a PNG": (_post(_PNG[: len(_PNG) // 2]), 415),
    "half a JPEG": (_post(_JPEG[: len(_JPEG) // 2]), 415),
    "a JPEG without its tables": (_post(_JPEG[:2] + _JPEG[-40:]), 415),
    "noise behind a JPEG's start": (_post(b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8), 415),
    "noise in a WebP": (_post(b"RIFF\x20\0\0\0WEBPVP8 " + bytes(40)), 415),
    "a PNG without pixels": (_post(_png_head(0, 10)), 415),
    "a bomb of 25 megapixels": (_post(_png_head(5000, 5000)), 413),
    "a bomb of 900 megapixels": (_post(_png_head(30000, 30000)), 413),
    "a PNG as large as numbers go": (_post(_png_head(2**31 - 1, 2**31 - 1)), 413),
    "a BMP of two gigapixels": (_post(_BMP), 413),
    "too many bytes, said so": (_head(b"Content-Length: 99999999"), 413),
    "more bytes than can be": (_head(b"Content-Length: 99999999999999999999999"), 400),
    "too many bytes in chunks": (_head(b"Transfer-Encoding: chunked", b"Connection: close") + _CHUNKS, 413),
    "an image larger than allowed": (_post(_PNG + bytes(LIMITS.bytes)), 413),
    # Boxes.
    "boxes that are no JSON": (_boxes(b"1,2,3,4"), 422),
    "a box of three numbers": (_boxes(b"[[1,2,3]]"), 422),
    "a box of texts": (_boxes(b'[["1","2","3","4"]]'), 422),
    "a box without extent": (_boxes(b"[[1,2,0,4]]"), 422),
    "a box from infinity": (_boxes(b"[[-1e999,2,3,4]]"), 422),
    "a box of no number": (_boxes(b"[[NaN,2,3,4]]"), 422),
    "a box of more than floats hold": (_boxes(b"[[1,2,3," + b"9" * 400 + b"]]"), 422),
    "too many boxes": (_boxes(b"[" + b",".join([b"[1,2,3,4]"] * (LIMITS.people + 1)) + b"]"), 422),
    "brackets in brackets": (_boxes(b"[" * 9000), 422),
    "a threshold of no number": (_post(_PNG, path=b"/v1/poses?draw=1&threshold=nan"), 422),
    "draw, perhaps": (_post(_PNG, path=b"/v1/poses?draw=perhaps"), 422),
    # JSON and forms.
    "JSON that is none": (_json(b"{"), 422),
    "JSON of another kind": (_json([1]), 422),
    "JSON without an image": (_json({"boxes": [[1, 2, 3, 4]]}), 422),
    "JSON with more": (_json({"image": _CODED, "path": "/etc/passwd"}), 422),
    "JSON with an image of numbers": (_json({"image": [137, 80]}), 422),
    "no base64": (_json({"image": "abc"}), 422),
    "base64 of no image": (_json({"image": "/etc/passwds"}), 415),
    "JSON with brackets in brackets": (_json(b'{"image": ' + b"[" * 100_000), 422),
    "JSON of no text": (_json(b"\xff\xfe\x00"), 422),
    "a form without a boundary": (_form(_FILE, kind=b"multipart/form-data"), 400),
    "a form with another boundary": (_form(_FILE, boundary=b"y"), 400),
    "a form without its end": (_post(b"--x\r\n" + _FILE, b"multipart/form-data; boundary=x"), 422),
    "a form without an image": (_form(b'Content-Disposition: form-data; name="boxes"\r\n\r\n[]\r\n'), 422),
    "a form with two images": (_form(_FILE, _FILE), 400),
    "a form's image as text": (_form(b'Content-Disposition: form-data; name="image"\r\n\r\nabc\r\n'), 422),
    "a form of many parts": (_form(*[b'Content-Disposition: form-data; name="a"\r\n\r\n1\r\n'] * 2000), 400),
    "a form's part with huge headers": (_form(b"A: " + b"b" * 60_000 + b"\r\n\r\n1\r\n"), 400),
    # HTTP.
    "no HTTP": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(64), 400),
    "huge headers": (_get(b"/")[:-2] + b"A: " + b"b" * 100_000 + b"\r\n\r\n", 431),
    "many headers": (_get(b"/")[:-2] + b"A: b\r\n" * 20_000 + b"\r\n", 431),
    "a huge path": (_get(b"/" + b"a" * 100_000), 431),
    "a huge query": (_boxes(b"[" + b"%20" * 40_000), 431),
    "two lengths": (_head(b"Content-Length: 1", b"Content-Length: 2") + b"ab", 400),
    "a negative length": (_head(b"Content-Length: -5"), 400),
    "a length and chunks": (_head(b"Content-Length: 4", b"Transfer-Encoding: chunked") + b"zz\r\n\r\n", 400),
    "a chunk of no length": (_head(b"Transfer-Encoding: chunked") + b"zz\r\nabc\r\n", 400),
    "a chunk without its end": (_head(b"Transfer-Encoding: chunked") + b"5\r\nab", 408),
    "a header of two lines": (_get(b"/")[:-2] + b"A: b\r\n c\0d\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "HTTP of no version": (b"GET / HTTP/x.y\r\nHost: a\r\n\r\n", 400),
    "another method": (_head(b"Connection: close", method=b"DELETE"), 405),
    "a proxy's request": (_head(b"Connection: close", method=b"CONNECT", path=b"evil:443"), 404),
    "an image to the page": (_post(_PNG, path=b"/"), 405),
    # Paths.
    "upwards": (_get(b"/../../etc/passwd"), 404),
    "upwards from the page": (_get(b"/page.css/../../../etc/passwd"), 404),
    "upwards, in code": (_get(b"/%2e%2e/%2e%2e/etc/passwd"), 404),
    "upwards, in code of code": (_get(b"/%252e%252e%252fetc%252fpasswd"), 404),
    "upwards, backwards": (_get(b"/..\\..\\windows\\win.ini"), 404),
    "two slashes": (_get(b"//etc/passwd"), 404),
    "a zero in the path": (_get(b"/page.js%00.png"), 404),
    "no UTF-8": (_get(b"/%ff%fe"), 404),
    "a model by path": (_get(b"/v1/models/../../app.py"), 404),
    # Slow ones.
    "half a head": (b"POST /v1/poses HTTP/1.1\r\nHost: a\r\n", 408),
    "nothing at all": (b"", 408),
    "half a body": (_head(b"Content-Length: 5000") + _PNG[:50], 408),
    "a body that never comes": (_head(b"Content-Length: 5000", b"Expect: 100-continue"), 408),
}
_SLOW = [name for name, (_, status) in REQUESTS.items() if status == 408]


def _ask(address, data):
    """The status of the answer to these bytes; None for a connection that is closed without one."""
    answer = b""
    with socket.create_connection(address, timeout=10) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # answered before all was sent
            connection.sendall(data)
        with suppress(ConnectionResetError):
            while part := connection.recv(65536):
                answer = _CONTINUE.sub(b"", answer + part)
                if b"\r\n\r\n" in answer:
                    break
    return int(answer.split()[1]) if answer else None


def _check_alive(address):
    answer = requests.post("http://{}:{}/v1/poses".format(*address), data=_PNG, timeout=10)
    assert (answer.status_code, len(answer.json()["poses"])) == (200, 1)


def test_there_are_many():
    assert len(REQUESTS) >= 70


@pytest.mark.parametrize("name", [name for name in REQUESTS if name not in _SLOW])
def test_it_is_refused(address, name):
    data, status = REQUESTS[name]
    # A long head that comes in parts is refused by the server below, with 400.
    assert _ask(address, data) in ((431, 400) if status == 431 else (status,))
    _check_alive(address)


def test_slow_ones_are_ended_while_others_are_answered(address):
    with ThreadPoolExecutor(len(_SLOW)) as pool:
        start = time.monotonic()
        waiting = {name: pool.submit(_ask, address, REQUESTS[name][0]) for name in _SLOW}
        _check_alive(address)
        assert {name: status.result() for name, status in waiting.items()} == dict.fromkeys(_SLOW, 408)
    assert time.monotonic() - start < 8 * LIMITS.read_seconds


def test_a_body_that_trickles_has_no_more_time_than_others(address):
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(_head(b"Content-Length: 5000"))
        start = time.monotonic()
        while time.monotonic() - start < 5 * LIMITS.read_seconds:
            time.sleep(0.1)
            try:
                connection.sendall(b"a")
            except OSError:
                break
            connection.settimeout(0.01)
            try:
                assert b" 408 " in connection.recv(100)
                break
            except TimeoutError:
                continue
        assert time.monotonic() - start < 4 * LIMITS.read_seconds


def test_clients_that_go_away_leave_nothing(address):
    for data in (_post(_PNG), _head(b"Content-Length: 5000") + b"abc", b"POST /v1"):
        for _ in range(5):
            socket.create_connection(address).close()
            with socket.create_connection(address) as connection:
                connection.sendall(data)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    _check_alive(address)
    text = requests.get("http://{}:{}/metrics".format(*address), timeout=10).text
    end = time.monotonic() + 10
    while "ppose_requests_in_flight 0.0" not in text and time.monotonic() < end:
        text = requests.get("http://{}:{}/metrics".format(*address), timeout=10).text
    assert "ppose_requests_in_flight 0.0" in text


@pytest.mark.heavy
def test_all_at_once_and_again_and_noise(address):
    """Twenty rounds of all, in another order each, sixteen at a time, and requests with bytes changed."""
    rng = np.random.default_rng(0)
    names = list(REQUESTS)
    with ThreadPoolExecutor(16) as pool:
        for _ in range(ROUNDS):
            order = rng.permutation(names)
            found = dict(
                zip(order, pool.map(lambda name: _ask(address, REQUESTS[name][0]), order), strict=True)
            )
            wrong = {name: status for name, status in found.items() if status not in (REQUESTS[name][1], 503)}
            assert not wrong
            noisy = [_change(rng, REQUESTS[name][0]) for name in order[:30]]
            answers = pool.map(lambda data: _ask(address, data), noisy)
            assert all(status is None or status < 500 or status == 503 for status in answers)
            _check_alive(address)


def _change(rng, data):
    changed = np.frombuffer(data + b" ", np.uint8).copy()
    places = rng.integers(0, len(changed), 8)
    changed[places] = rng.integers(0, 256, 8)
    return changed.tobytes()
