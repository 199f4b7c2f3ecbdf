"""Training states that no run has written: each is refused before anything of it is used."""

import json
from dataclasses import replace

import numpy as np
import paddle
import pytest

from ppose.engine.state import (
    Progress,
    TrainState,
    read_state,
    set_arrays,
    set_optimizer_arrays,
    write_state,
)
from ppose.errors import CheckpointError

STATE = TrainState(
    progress=Progress(epoch=2, step_in_epoch=1, best=0.5, best_epoch=1),
    steps_per_epoch=3,
    seed=7,
    optimizer_name="Adam",
    model={"weight": np.ones((2, 3), np.float32)},
    optimizer={"weight|moment1": np.ones((2, 3), np.float32)},
    scaler={"scale": 1024.0},
    processor_settings={"KMP_BLOCKTIME": "0"},
)


def test_a_state_comes_back_as_it_was(tmp_path):
    write_state(tmp_path / "a.npz", STATE)
    got = read_state(tmp_path / "a.npz")
    for group in ("model", "optimizer"):
        for key, array in getattr(STATE, group).items():
            np.testing.assert_array_equal(getattr(got, group)[key], array, strict=True)
    assert replace(got, model={}, optimizer={}) == replace(STATE, model={}, optimizer={})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("progress.epoch", -1),
        ("progress.epoch", "2"),
        ("progress.epoch", 1.5),
        ("progress.epoch", True),
        ("progress.epoch", 10**30),
        ("progress.step_in_epoch", 4),
        ("progress.step_in_epoch", 0.5),
        ("progress.best", "high"),
        ("progress.best", float("nan")),
        ("progress.best_epoch", None),
        ("progress.other", 1),
        ("progress", 3),
        ("steps_per_epoch", 0),
        ("seed", -1),
        ("seed", "7"),
        ("ranks", 0),
        ("optimizer_name", ["Adam"]),
        ("teacher", 1),
        ("scaler", [1]),
        ("scaler", {"scale": "x"}),
        ("processor_settings", {"KMP_BLOCKTIME": 0}),
        ("format", 2),
        ("other", 1),
    ],
)
def test_values_that_no_run_writes_are_refused(tmp_path, key, value):
    write_state(tmp_path / "a.npz", STATE)
    with np.load(tmp_path / "a.npz") as archive:
        arrays = dict(archive)
    meta = json.loads(arrays["state.json"].tobytes())
    holder = meta
    *blocks, last = key.split(".")
    for block in blocks:
        holder = holder[block]
    holder[last] = value
    np.savez(
        tmp_path / "b.npz", **arrays | {"state.json": np.frombuffer(json.dumps(meta).encode(), np.uint8)}
    )
    with pytest.raises(CheckpointError, match="is no training state, or damaged") as caught:
        read_state(tmp_path / "b.npz")
    assert "\n" not in str(caught.value)


def test_compressed_states_and_pipes_are_refused(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", **{"model/a": np.zeros(10**6, np.float32)})
    with pytest.raises(CheckpointError, match="compressed"):
        read_state(tmp_path / "a.npz")
    with pytest.raises(CheckpointError, match="a pipe or device"):
        read_state("/dev/zero")


def test_arrays_of_another_type_are_refused():
    tensors = {"a": paddle.zeros([2])}
    with pytest.raises(CheckpointError, match=r"such as a: got \(2,\) float64, expected \(2,\)"):
        set_arrays(tensors, {"a": np.ones(2)}, "the weights")


@pytest.mark.parametrize(
    "array", [np.ones(3, np.float32), np.ones((3, 2)), np.full((3, 2), np.nan, np.float32)]
)
def test_foreign_arrays_of_the_optimizer_are_refused(array):
    layer = paddle.nn.Linear(3, 2, bias_attr=False)
    optimizer = paddle.optimizer.Adam(parameters=layer.parameters())
    with pytest.raises(CheckpointError, match=r"'weight\|moment1_0' is no array \(3, 2\) of finite numbers"):
        set_optimizer_arrays(optimizer, {"weight": layer.weight}, {"weight|moment1_0": array}, "Adam")
