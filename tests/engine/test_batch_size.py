"""`batch_size: auto`: the largest that fits, by few tries; said, and kept in the run's config."""

import json
import logging

import pytest
import yaml
from runs import data_overrides

from ppose.engine import batch_size
from ppose.engine.batch_size import find_batch_size, settle_batch_size
from ppose.engine.precision import Precision
from ppose.engine.task import Task
from ppose.errors import ConfigError
from ppose.workspace import load_config

SMALL = ["trainsize=[64,64]", "hmsize=[16,16]", "worker_num=0", "TrainReader.batch_size=auto"]
CONFIG = "naive_lite_hrnet_18_256x192_coco"


def memory(images, at_start, each, block=1):
    """What a step takes where memory is taken in blocks."""
    return -(-(at_start + each * images) // block) * block


@pytest.mark.parametrize(
    ("at_start", "each", "block", "budget"),
    [(800, 13, 1, 4000), (800, 13, 500, 4000), (100, 1000, 1, 1100), (100, 0.5, 1, 300), (0, 3, 64, 10_000)],
)
def test_the_largest_that_fits_is_found_in_few_tries(caplog, at_start, each, block, budget):
    tries = []

    def measure(images):
        tries.append(images)
        needed = memory(images, at_start, each, block)
        return needed if needed <= 1.2 * budget else None  # a GPU has no more

    with caplog.at_level(logging.INFO, "ppose"):
        found = find_batch_size(measure, budget, most=5000)
    assert memory(found, at_start, each, block) <= budget < memory(found + 1, at_start, each, block)
    assert max(tries) <= 2 * found + 1
    assert len(tries) < 26
    assert f"batch_size auto: {found} images per step take" in caplog.text


def test_a_small_dataset_and_a_small_memory(caplog):
    with caplog.at_level(logging.INFO, "ppose"):
        assert find_batch_size(lambda images: 10.0 * images, 1000, most=30) == 30
    assert "that is the whole dataset" in caplog.text
    with pytest.raises(ConfigError, match="step of one image takes more than 1,000 MiB"):
        find_batch_size(lambda images: None, 1000, most=30)


@pytest.fixture
def settle(coco_folder, tmp_path, monkeypatch):
    """Settles a config's batch size, where steps take 100 MiB and 10 for each image, and are not made."""

    class Trainer:
        loader = range(6)  # people that there are

    monkeypatch.setattr(batch_size, "make_trainer", lambda *_, **__: Trainer())
    monkeypatch.setattr(batch_size, "measure_steps", lambda trainer: lambda images: 100.0 + 10 * images)

    def _settle(*overrides, resumes=False):
        cfg = load_config(CONFIG, [*data_overrides(coco_folder), *SMALL, *overrides])
        return cfg, settle_batch_size(cfg, tmp_path / "run", resumes=resumes, precision=Precision())

    return _settle


def test_a_config_gets_its_number(settle):
    cfg, settled = settle("memory_mb=150")
    assert settled["TrainReader"] == {**cfg["TrainReader"], "batch_size": 5}
    assert settled == {**cfg, "TrainReader": settled["TrainReader"]}
    assert settle("memory_mb=900")[1]["TrainReader"]["batch_size"] == 6
    cfg, settled = settle("TrainReader.batch_size=3")
    assert settled is cfg


def test_a_run_that_goes_on_keeps_its_number(settle, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yml").write_text("TrainReader: {batch_size: 4}")
    assert settle("memory_mb=150", resumes=True)[1]["TrainReader"]["batch_size"] == 4
    assert settle("memory_mb=150")[1]["TrainReader"]["batch_size"] == 5
    (tmp_path / "run" / "config.yml").write_text("TrainReader: [")
    assert settle("memory_mb=150", resumes=True)[1]["TrainReader"]["batch_size"] == 5


def test_what_cannot_be_found_out_is_reported(settle, monkeypatch):
    with pytest.raises(ConfigError, match=r"on the CPU set the memory .* in MiB"):
        settle()
    with pytest.raises(ConfigError, match=r"more than 105 MiB \(memory_mb\)"):
        settle("memory_mb=105")
    monkeypatch.setattr(batch_size, "rank_count", lambda: 2)
    with pytest.raises(ConfigError, match="find it with one process first"):
        settle("memory_mb=150")


def test_it_is_for_training_alone(coco_folder):
    overrides = [*data_overrides(coco_folder), *SMALL[:3], "EvalReader.batch_size=auto"]
    with pytest.raises(ConfigError, match=r"EvalReader: .* batch_size auto are for training"):
        Task(load_config(CONFIG, overrides)).reader("EvalReader")


@pytest.mark.heavy
def test_a_run_fills_its_memory_and_no_more(run_script, write_coco, tmp_path):
    """As the system counts it in a run of its own with the number that was found."""
    folder = write_coco(tmp_path / "coco", images=60)
    options = [*data_overrides(folder), *SMALL[:3], f"save_dir={tmp_path}", "epoch=1", "use_vdl=false"]

    def train(*more):
        result = run_script("tools/train.py", "-c", CONFIG, "-o", *options, *more)
        assert result.returncode == 0, result.stderr
        return result.stderr

    said = train("TrainReader.batch_size=auto", "memory_mb=900")
    kept = yaml.safe_load((tmp_path / CONFIG / "config.yml").read_text())["TrainReader"]["batch_size"]
    assert f"batch_size auto: {kept} images per step take" in said
    assert 4 < kept < 120
    train(f"TrainReader.batch_size={kept}")
    lines = (tmp_path / CONFIG / "metrics.jsonl").read_text().splitlines()
    peak = max(json.loads(line).get("memory_mb", 0) for line in lines)
    assert 0.8 * 900 < peak < 1.1 * 900
