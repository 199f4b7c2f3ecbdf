"""A server of the tests' exported model, in this process."""

import threading
import time

import cv2
import pytest
from serving_limits import LIMITS

from ppose.inference.predictor import Predictor


@pytest.fixture(scope="session")
def packages():
    for name in ("fastapi", "uvicorn", "multipart", "prometheus_client", "PIL"):
        pytest.importorskip(name, reason="the server's packages are missing: pip install 'ppose[serve]'")


@pytest.fixture(scope="session")
def predictor(model_dir):
    """Of the red and the blue disc."""
    return Predictor.from_dir(model_dir, runtime="onnxruntime", cpu_threads=1)


@pytest.fixture(scope="session")
def start_server(packages, predictor):
    """Serves the predictor on a free port, with options of `make_app`; gives (host, port) and a stop."""
    from ppose.serving.app import make_app
    from ppose.serving.server import listen, make_server

    stops = []

    def start(**options):
        app = make_app(predictor, "two_colours", **{"limits": LIMITS, **options})
        listener = listen("127.0.0.1", 0)
        server = make_server(app, read_seconds=LIMITS.read_seconds, grace_seconds=5)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
            assert thread.is_alive()

        def stop():
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()

        stops.append(stop)
        return listener.getsockname(), stop

    yield start
    for stop in stops:
        stop()


@pytest.fixture(scope="session")
def address(start_server):
    """(host, port) of a server without a detector."""
    return start_server()[0]


@pytest.fixture(scope="session")
def url(address):
    """Of that server."""
    return "http://{}:{}".format(*address)


@pytest.fixture
def png(crowd):
    """The crowd as a PNG file's content."""
    return cv2.imencode(".png", crowd[0][..., ::-1])[1].tobytes()
