"""Predictors in threads: one that several share, several at once, and an export beside them."""

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

import ppose
from ppose.engine.task import Task
from ppose.export.export import Options, export_model
from ppose.inference.predictor import Predictor
from ppose.weights.checkpoint import save_weights
from ppose.workspace import load_config

CONFIG = "configs/lite_hrnet_18_256x192_coco.yml"
SMALL = ["trainsize=[64,64]", "hmsize=[16,16]", "LiteHRNet.network_type=lite_8"]
THREADS, TURNS = 8, 4


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights that let signals pass."""
    network, rng = Task(load_config(CONFIG, SMALL)).model(), np.random.default_rng(0)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            scale = np.sqrt(1.6 / np.prod(parameter.shape[1:]))
            parameter.set_value(rng.normal(0, scale, parameter.shape).astype(np.float32))
    file = tmp_path_factory.mktemp("weights") / "model_final.pdparams"
    save_weights(network, file)
    return file


@pytest.fixture(params=["paddle", "onnxruntime", "openvino", "network"])
def open_predictor(request, weights, model_dir):
    """Opens a predictor of a runtime."""
    if request.param == "network":
        return lambda: ppose.Predictor.from_config(CONFIG, weights, SMALL)
    return lambda: Predictor.from_dir(model_dir, runtime=request.param)


def in_threads(work):
    """The results of work(0), work(1), .. in as many threads, which all begin at once."""
    start = threading.Barrier(THREADS)

    def begin(number):
        start.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


def make_scenes(crowd):
    """For each thread an image and boxes of its own: one person, two, or three."""
    image, _, boxes = crowd
    return [
        (np.roll(image, 5 * number, axis=1), [*boxes, [0, 0, 99, 99]][: 1 + number % 3])
        for number in range(THREADS)
    ]


def assert_same(found, expected):
    for poses, others in zip(found, expected, strict=True):
        for pose, other in zip(poses, others, strict=True):
            np.testing.assert_allclose(pose.keypoints, other.keypoints, atol=1e-3)
            largest = np.abs(other.scores).max()
            np.testing.assert_allclose(pose.scores, other.scores, rtol=1e-4, atol=1e-5 * largest)


def test_threads_share_a_predictor(open_predictor, crowd):
    predictor, scenes = open_predictor(), make_scenes(crowd)
    expected = [predictor(*scene) for scene in scenes]
    predictor.reset_times()
    found = in_threads(lambda number: [predictor(*scenes[number]) for _ in range(TURNS)])
    for turn in range(TURNS):
        assert_same([of_thread[turn] for of_thread in found], expected)
    assert predictor.people == TURNS * sum(map(len, expected))


def test_each_thread_makes_a_predictor(open_predictor, crowd):
    scenes = make_scenes(crowd)
    predictor = open_predictor()
    expected = [predictor(*scene) for scene in scenes]
    assert_same(in_threads(lambda number: open_predictor()(*scenes[number])), expected)


def test_an_export_beside_predictions(weights, crowd, tmp_path):
    """In a thread, while the main one predicts with a network and with an earlier export."""
    task, scene = Task(load_config(CONFIG, [*SMALL, f"weights={weights}"])), crowd[::2]
    export_model(task, "small", tmp_path / "first", Options())
    predictors = [
        ppose.Predictor.from_config(CONFIG, weights, SMALL),
        ppose.Predictor.from_dir(tmp_path / "first"),
    ]
    expected = [predictor(*scene) for predictor in predictors]
    with ThreadPoolExecutor(1) as pool:
        export = pool.submit(export_model, task, "small", tmp_path / "second", Options(format="onnx"))
        while True:
            is_last = export.done()
            assert_same([predictor(*scene) for predictor in predictors], expected)
            if is_last:
                break
    assert export.result().difference < 1e-4
    exported = ppose.Predictor.from_dir(tmp_path / "second", runtime="onnxruntime")
    assert_same([exported(*scene)], [ppose.Predictor.from_dir(tmp_path / "first")(*scene)])


def test_poses_of_a_trained_network_and_of_its_export(weights, crowd, tmp_path):
    """Two lines of Python, with the config's flip test and decoding; an image and its file are the same."""
    image, _, boxes = crowd
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    poses = ppose.Predictor.from_config(CONFIG, weights, SMALL)(tmp_path / "a.png", boxes)
    task = Task(load_config(CONFIG, [*SMALL, f"weights={weights}"]))
    export_model(task, "small", tmp_path / "exported", Options(flip_test=task.test.flip))
    assert_same([poses], [ppose.Predictor.from_dir(tmp_path / "exported")(image, boxes)])
    plain = ppose.Predictor.from_config(CONFIG, weights, [*SMALL, "TopDownHRNet.flip=false"])(image, boxes)
    assert task.test.flip
    assert np.abs(plain[0].scores - poses[0].scores).max() > 1e-4
