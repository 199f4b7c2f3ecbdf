"""A server on this machine that can do all the wrong things that servers do."""

import hashlib
import http.server
import re
import threading

import pytest

from ppose.downloads import resume


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.files`` with ranges; ``server.tricks`` are what it does to each request in turn."""

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        self.server.asked.append((name, self.headers.get("Range")))
        trick = self.server.tricks.pop(0) if self.server.tricks else "serve"
        if name not in self.server.files or trick in ("404", "503"):
            self.send_error(404 if trick != "503" else 503)
            return
        body = self.server.files[name]
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


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(resume, "_WAITS", (0, 0, 0))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.files, server.tricks = [], {}, []
    server.pause = threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.pause.set()
    server.shutdown()
    server.server_close()
    thread.join()
