"""A server on this machine that stands for publishers, and can do all the wrong things that servers do."""

import hashlib
import http.server
import re
import threading
from contextlib import contextmanager


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.files``, by whole path or by last name, with ranges.

    ``server.tricks`` are what it does to each request in turn, ``server.always`` to each request for a name;
    ``server.odd`` are whole answers by name.
    """

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1].partition("?")[0]
        self.server.paths.append(self.path)
        self.server.asked.append((name, self.headers.get("Range")))
        if name in self.server.odd:
            self.wfile.write(self.server.odd[name])
            return
        trick = self.server.tricks.pop(0) if self.server.tricks else self.server.always.get(name, "serve")
        body = self.server.files.get(self.path[1:], self.server.files.get(name))
        if body is None or trick in ("404", "503"):
            self.send_error(404 if trick != "503" else 503)
            return
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        start = self._start(tag) if trick != "no ranges" else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            shown = 0 if trick == "another part" else start
            self.send_header("Content-Range", f"bytes {shown}-{len(body) - 1}/{len(body)}")
        if trick == "page":
            body = b"<!DOCTYPE html><p>log in</p>"
        length = len(body) - start + {"too long": 100, "too short": -100}.get(trick, 0)
        if trick != "no length":
            self.send_header("Content-Length", str(10**15 if trick == "huge" else length))
        if trick != "no tag":
            self.send_header("ETag", tag)
        self.end_headers()
        self._send(trick, body[start:])

    def _send(self, trick, rest):
        if trick == "half":
            rest = rest[: len(rest) // 2]
        if trick == "nothing":
            rest = b""
        if trick == "slow":
            step = len(rest) // 4 + 1
            for index in range(0, len(rest), step):
                self.server.pause.wait(0.05)
                self.wfile.write(rest[index : index + step])
            return
        if trick == "silent":
            self.wfile.write(rest[:1000])
            self.wfile.flush()
            self.server.pause.wait(2)
            return
        self.wfile.write(rest)

    def _start(self, tag):
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(asked[1]) if asked and self.headers.get("If-Range", tag) == tag else 0

    def log_message(self, *args):
        pass


@contextmanager
def serving():
    """The server, at ``url``; ``stop()`` ends it, ``paths`` are the requests that came."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.paths, server.files = [], [], {}
    server.tricks, server.always, server.odd = [], {}, {}
    server.pause = threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def stop():
        server.pause.set()
        server.shutdown()
        server.server_close()
        thread.join()

    server.stop = stop
    try:
        yield server
    finally:
        if thread.is_alive():
            stop()


_NO_BODY = b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
# Answers that make no sense, for ``server.odd``, and what the message says of each.
ODD_ANSWERS = {
    "odd-204": (b"HTTP/1.1 204 No Content\r\n\r\n", "answered 204"),
    "odd-206": (b"HTTP/1.1 206 Partial\r\nContent-Length: 2\r\n\r\nab", "answered 206"),
    "odd-empty": (b"HTTP/1.1 200 OK" + _NO_BODY, "announces 0 bytes"),
    "odd-nothing": (b"HTTP/1.0 200 OK\r\n\r\n", "empty file"),
    "odd-length": (b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nab", "announces a length"),
    "odd-large": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nab", "expected 1 to"),
    "odd-page": (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n \n<!DOCTYPE html><htm>", "web page"),
    "odd-gzip": (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab", "compressed"),
    "odd-circle": (b"HTTP/1.1 302 Found\r\nLocation: odd-circle" + _NO_BODY, "redirects"),
    "odd-file": (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd" + _NO_BODY, "file:"),
    "odd-port": (b"HTTP/1.1 302 Found\r\nLocation: http://a:b" + _NO_BODY, "cannot download"),
    "odd-host": (b"HTTP/1.1 302 Found\r\nLocation: http://[::" + _NO_BODY, "cannot download"),
    "odd-words": (b"HTTP/1.1 404 \x1b[2Jerror: x" + _NO_BODY, "x1b"),
    "odd-binary": (b"\x00\x01\x02\r\n\r\n", "cannot download"),
    "odd-headers": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\nab", "cannot download"),
}
