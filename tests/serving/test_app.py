"""The server as its clients see it: what it finds is what the Predictor finds."""

import base64
import json
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import requests
from serving_limits import LIMITS

ROOT = Path(__file__).resolve().parent.parent.parent


def _xywh(boxes):
    return [[*map(float, box[:2]), *map(float, box[2:] - box[:2])] for box in boxes]


def _check(answer, predictor, crowd, boxes):
    image, _, xyxy = crowd
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["model"], found["width"], found["height"]) == ("two_colours", 320, 240)
    expected = [pose.to_record() for pose in predictor(image, None if boxes is None else xyxy)]
    assert len(found["poses"]) == len(expected)
    for one, other in zip(found["poses"], expected, strict=True):
        for key in other:
            np.testing.assert_allclose(one[key], other[key], rtol=1e-5, atol=1e-4)


def test_every_way_to_send_an_image_gives_the_predictors_poses(url, predictor, crowd, png):
    boxes = _xywh(crowd[2])
    text, coded = json.dumps(boxes), base64.b64encode(png).decode()
    post = lambda **options: requests.post(f"{url}/v1/poses", timeout=20, **options)  # noqa: E731
    for answer in (
        post(data=png, params={"boxes": text}, headers={"Content-Type": "image/png"}),
        post(data=png, params={"boxes": text}, headers={"Content-Type": "application/x-www-form-urlencoded"}),
        post(data=iter([png[:1000], png[1000:]]), params={"boxes": text}),  # chunked
        post(files={"image": ("a.png", png, "image/png")}, data={"boxes": text}),
        post(files={"image": ("a.png", png)}, params={"boxes": text}),
        post(json={"image": coded, "boxes": boxes}),
    ):
        _check(answer, predictor, crowd, boxes)
    for answer in (post(data=png), post(json={"image": coded}), post(files={"image": png})):
        _check(answer, predictor, crowd, None)
    assert post(data=png, params={"boxes": "[]"}).json()["poses"] == []


def test_a_photo_is_turned_as_its_exif_says(url, crowd):
    turned = cv2.rotate(crowd[0][..., ::-1], cv2.ROTATE_90_COUNTERCLOCKWISE)
    data = cv2.imencode(".jpg", turned)[1].tobytes()
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    block = b"Exif\0\0" + tiff
    data = data[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data[2:]
    found = requests.post(f"{url}/v1/poses", data=data, timeout=20).json()
    assert (found["width"], found["height"]) == (320, 240)


def test_draw_gives_the_picture(url, crowd, png):
    answer = requests.post(f"{url}/v1/poses?draw=1&threshold=0", data=png, timeout=20)
    assert answer.headers["content-type"] == "image/jpeg"
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert picture.shape == crowd[0].shape
    assert np.abs(picture.astype(int) - crowd[0]).max() > 100


def test_a_detector_finds_the_people(start_server, predictor, crowd, png):
    image, _, boxes = crowd
    asked = []

    def find_people(seen):
        asked.append(seen.shape)
        return boxes.astype(float)

    address, stop = start_server(find_people=find_people)
    url = "http://{}:{}".format(*address)
    _check(requests.post(f"{url}/v1/poses", data=png, timeout=20), predictor, crowd, boxes)
    assert requests.get(f"{url}/v1/models", timeout=20).json()["models"][0]["finds_people"]
    own = requests.post(f"{url}/v1/poses", data=png, params={"boxes": "[[0,0,320,240]]"}, timeout=20)
    assert len(own.json()["poses"]) == 1
    assert asked == [image.shape]
    stop()


def test_models_health_and_openapi(url):
    (model,) = requests.get(f"{url}/v1/models", timeout=20).json()["models"]
    assert model["keypoints"] == ["red", "blue"]
    assert (model["skeleton"], model["input_size"], model["runtime"]) == ([[0, 1]], [64, 96], "onnxruntime")
    assert requests.get(f"{url}/healthz", timeout=20).json() == {"status": "ok"}
    api = requests.get(f"{url}/openapi.json", timeout=20).json()
    post = api["paths"]["/v1/poses"]["post"]
    assert set(post["requestBody"]["content"]) == {"image/*", "multipart/form-data", "application/json"}
    assert {"200", "413", "415", "422", "503"} <= set(post["responses"])
    assert requests.get(f"{url}/docs", timeout=20).status_code == 404  # it would load scripts of others


def test_requests_at_once_share_batches_and_each_gets_its_own(start_server, predictor, crowd):
    address, stop = start_server(delay=0.2)
    url = "http://{}:{}".format(*address)
    images = [np.roll(crowd[0], 7 * index, axis=1) for index in range(12)]
    expected = [predictor(image)[0].to_record()["keypoints"] for image in images]
    data = [cv2.imencode(".png", image[..., ::-1])[1].tobytes() for image in images]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda each: requests.post(f"{url}/v1/poses", data=each, timeout=20), data))
    for answer, keypoints in zip(answers, expected, strict=True):
        np.testing.assert_allclose(answer.json()["poses"][0]["keypoints"], keypoints, rtol=1e-5, atol=1e-4)
    counted = _read_metrics(url)
    assert counted["ppose_batch_images_sum"] == 12
    assert counted["ppose_batch_images_count"] <= 4
    assert counted['ppose_requests_total{status="200"}'] == 12
    assert counted["ppose_people_total"] == 12
    assert counted["ppose_requests_in_flight"] == 0
    stop()


def _read_metrics(url):
    lines = requests.get(f"{url}/metrics", timeout=20).text.splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


def test_beyond_the_queue_the_answer_is_503_and_nobody_else_is_lost(start_server, predictor, png):
    go = threading.Event()

    def find_people(image):
        go.wait(20)
        return np.array([[0.0, 0.0, 320.0, 240.0]])

    address, stop = start_server(find_people=find_people)
    url = "http://{}:{}".format(*address)
    with ThreadPoolExecutor(40) as pool:
        asked = [pool.submit(requests.post, f"{url}/v1/poses", data=png, timeout=30) for _ in range(40)]
        busy = [each for each in asked if _is_done_soon(each)]
        assert len(busy) == 40 - LIMITS.requests
        assert requests.get(f"{url}/healthz", timeout=20).status_code == 200
        go.set()
        answers = [each.result() for each in asked]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) == len(busy)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert sum(answer.status_code == 200 for answer in answers) == LIMITS.requests
    stop()


def _is_done_soon(future):
    try:
        future.result(timeout=0.2)
    except TimeoutError:
        return False
    return True


def test_no_answer_in_time_is_503(start_server, predictor, png):
    import dataclasses

    go = threading.Event()
    limits = dataclasses.replace(LIMITS, answer_seconds=0.3)
    address, stop = start_server(limits=limits, find_people=lambda _: go.wait(20) and None)
    answer = requests.post("http://{}:{}/v1/poses".format(*address), data=png, timeout=20)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    go.set()
    stop()


def test_a_server_that_runs_no_batches_is_not_healthy(start_server, monkeypatch):
    monkeypatch.setattr("ppose.serving.batching.Batcher._work", lambda self: None)
    address, stop = start_server()
    assert requests.get("http://{}:{}/healthz".format(*address), timeout=20).status_code == 503
    stop()


def test_an_error_in_a_batch_is_of_its_own_image_alone(start_server, predictor, crowd, png):
    def find_people(image):
        if image.shape[0] == 7:
            raise RuntimeError("of this image")
        return crowd[2].astype(float)

    address, stop = start_server(find_people=find_people, delay=0.2)
    url = "http://{}:{}/v1/poses".format(*address)
    bad = cv2.imencode(".png", np.zeros((7, 7, 3), np.uint8))[1].tobytes()
    half = png[: len(png) // 2] + b"IEND"  # a PNG by its head, with an end, and nothing in between
    with ThreadPoolExecutor(6) as pool:
        sent = [png, bad, png, half, png, png]
        answers = list(pool.map(lambda data: requests.post(url, data=data, timeout=20), sent))
    assert [answer.status_code for answer in answers][:3] == [200, 500, 200]
    assert [answer.status_code for answer in answers][4:] == [200, 200]
    stop()


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_answers_what_it_has_and_ends(start_command, png, number):
    process, url = start_command("--runtime", "onnxruntime", "--delay_ms", "1000")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(requests.post, f"{url}/v1/poses", data=png, timeout=20)
        while "ppose_requests_in_flight 1.0" not in requests.get(f"{url}/metrics", timeout=20).text:
            pass
        process.send_signal(number)
        assert asked.result().status_code == 200
    _, errors = process.communicate(timeout=20)
    assert process.returncode == (0 if number == signal.SIGTERM else 130)
    assert "Traceback" not in errors


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


def test_answers_are_not_held_back(packages):
    """Head and body go apart, and the second would wait for the first's acknowledgement, 40 ms."""
    from ppose.serving.server import listen

    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
