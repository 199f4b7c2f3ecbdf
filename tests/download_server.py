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
