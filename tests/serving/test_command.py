"""`ppose serve` as a command: how it begins, and how it ends."""

import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def start_command(model_dir, packages):
    """Starts `ppose serve` on a free port; gives the process and the server's address."""
    processes = []

    def start(*options):
        command = [sys.executable, "deploy/serve.py", "--model", model_dir, "--port", 0, *options]
        process = subprocess.Popen(
            list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        line = process.stdout.readline()
        assert "http://" in line, process.communicate()[1]
        return process, line.split()[1].rstrip("/")

    yield start
    for process in processes:
        process.kill()
        process.wait()


def _wait_until_it_ends(url):
    """Until it takes no more connections."""
    end = time.monotonic() + 20
    with suppress(requests.ConnectionError):
        while time.monotonic() < end:
            requests.get(f"{url}/healthz", timeout=20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_command_answers_what_it_has_and_ends(start_command, png, number):
    process, url = start_command("--runtime", "onnxruntime")
    go = threading.Event()

    def send():
        yield png[:100]
        go.wait(20)
        yield png[100:]

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(requests.post, f"{url}/v1/poses", data=send(), timeout=20)
        while "ppose_requests_in_flight 1.0" not in requests.get(f"{url}/metrics", timeout=20).text:
            pass
        process.send_signal(number)
        _wait_until_it_ends(url)
        go.set()
        assert asked.result().status_code == 200
    _, errors = process.communicate(timeout=20)
    assert process.returncode == (130 if number == signal.SIGINT else 0)
    assert "Traceback" not in errors


def test_the_command_waits_for_no_body_longer_than_it_may_or_after_a_second_signal(start_command):
    waits, ends = (start_command("--runtime", "onnxruntime", "--timeout", seconds) for seconds in (1, 30))
    answers = []
    for process, url in (waits, ends):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(b"POST /v1/poses HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
            while "ppose_requests_in_flight 1.0" not in requests.get(f"{url}/metrics", timeout=20).text:
                pass
            process.send_signal(signal.SIGTERM)
            if process is ends[0]:
                _wait_until_it_ends(url)
                process.send_signal(signal.SIGTERM)
            with suppress(ConnectionResetError):
                answers.append(connection.recv(12))
        _, errors = process.communicate(timeout=20)
        assert "Traceback" not in errors
    assert answers[0] == b"HTTP/1.1 503"
    assert (waits[0].returncode, ends[0].returncode) == (0, 130)


def test_what_is_wrong_with_the_options_is_one_line(packages, run_script, model_dir, tmp_path):
    result = run_script("deploy/serve.py", "--model", tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "holds no exported model" in result.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run_script("deploy/serve.py", "--model", model_dir, "--port", port)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last == f"error: cannot listen on 127.0.0.1, port {port}: Address already in use"


def test_without_its_packages_the_command_says_what_installs_them(run_script, model_dir):
    arguments = ["ppose", "serve", "--model", str(model_dir)]
    start = f"import sys; sys.modules['fastapi'] = None; sys.argv = {arguments}"
    result = run_script("-c", f"{start}\nimport ppose.cli\nppose.cli.main()")
    assert result.returncode == 1
    expected = "error: fastapi is needed and not installed: pip install 'ppose[serve]'"
    assert result.stderr.splitlines()[-1] == expected
