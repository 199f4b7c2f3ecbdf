"""Streams over the network: their frames, and what happens when they end."""

import re
import socket
import threading

import av
import numpy as np
import pytest

from ppose.errors import DataError, DeviceError
from ppose.inference import live_frames
from ppose.inference.video_frames import Clip
from ppose.inference.video_sources import open_frames


@pytest.fixture
def serve():
    """Sends files, one to each client, and gives the address."""
    servers = []

    def _serve(files):
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def work():
            for file in files:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(file.read_bytes())
            server.close()

        threading.Thread(target=work, daemon=True).start()
        return f"tcp://127.0.0.1:{server.getsockname()[1]}"

    yield _serve
    for server in servers:
        server.close()


def write_transport_stream(path, images):
    with av.open(str(path), "w", format="mpegts") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))


def test_a_stream_that_goes_is_looked_for_again(tmp_path, serve, monkeypatch, caplog):
    monkeypatch.setattr(live_frames, "_PAUSES", (0.01,))
    monkeypatch.setattr(live_frames, "_PATIENCE", 0.3)
    for name, first in (("a", 0), ("b", 100)):
        images = [np.full((48, 64, 3), first + level, np.uint8) for level in range(40)]
        write_transport_stream(tmp_path / f"{name}.ts", images)
    frames = open_frames(serve([tmp_path / "a.ts", tmp_path / "b.ts"]), Clip())
    seen = []
    with pytest.raises(DeviceError, match=r"tcp://127.* is lost for"):  # noqa: PT012
        for frame in frames:
            seen.append((frame.time, frame.read().mean()))
    frames.close()
    assert frames.is_live
    assert seen[-1][1] > 125  # of the second connection
    assert [time for time, _ in seen] == sorted(time for time, _ in seen)
    assert "is lost: " in caplog.text
    left_out = re.search(r"dropped (\d+) frames", caplog.text)
    assert 70 < len(seen) + int(left_out[1] if left_out else 0) <= 80  # the first may be lost to the opening


def test_what_is_no_stream(tmp_path):
    for url, expected in (
        ("ftp://a.org/x", "is no stream: expected rtsp://"),
        (f"file://{tmp_path}/a.mp4", "is no stream"),
    ):
        with pytest.raises(DataError, match=expected):
            open_frames(url, Clip())
    with pytest.raises(
        DeviceError, match=r"http://\*\*\*@127\.0\.0\.1:9/x gives no picture: Connection refused"
    ):
        open_frames("http://me:secret@127.0.0.1:9/x", Clip())
