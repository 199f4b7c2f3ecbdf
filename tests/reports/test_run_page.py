"""The page of a training run."""

import json

import cv2
import numpy as np
import pytest
from report_pages import PageReader

from ppose.cli import run_command
from ppose.errors import DataError
from ppose.reports.run_page import make_run_page, read_run


@pytest.fixture
def write_run(tmp_path):
    """Writes the folder of a run of 4 epochs of 5 steps, evaluated twice."""

    def write(name, config="epoch: 4\nLearningRate: {base_lr: 0.1}\n", ap=(0.5, 0.4), **about):
        folder = tmp_path / name
        (folder / "vis").mkdir(parents=True)
        (folder / "config.yml").write_text(config)
        (folder / "run.json").write_text(json.dumps({"seed": 3, "measure": "AP", "paddle": "3.2.2", **about}))
        records = []
        for step in range(1, 21):
            times = {"data_time": 0.5, "step_time": 2.0, "images_per_s": 8.0, "memory_mb": 100.0 + step}
            records.append({"epoch": (step + 4) // 5, "step": step, "loss": 1 / step, "lr": 0.1, **times})
            if step in (10, 20):
                value = ap[step // 10 - 1]
                records.append({"epoch": step // 5, "step": step, "AP": value, "APl": -1.0, "AR": 0.25})
        lines = [json.dumps(record) for record in records]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"epoch": 5, "st')  # killed then
        for epoch in range(1, 5):
            cv2.imwrite(str(folder / "vis" / f"epoch_{epoch:03d}.png"), np.zeros((8, 8, 3), np.uint8))
        return folder

    return write


def test_a_run_on_a_page(write_run, capsys):
    folder = write_run("one", "weights: https://me:key@a.org/w?token=key\nepoch: 4\n", command="train <b>")
    run_command("report", [str(folder)])
    assert capsys.readouterr().out == f"page: {folder / 'report.html'}\n"
    page = PageReader(folder / "report.html")
    assert ["one", "2", "0.5000", "-", "0.2500"] in page.rows  # the best, of epoch 2
    assert ["4", "0.4000", "-", "0.2500"] in page.rows
    assert ["one", "20", "0:00:40", "25.0%", "8.0", "120", "-"] in page.rows
    assert ["seed", "3"] in page.rows
    assert page.text.count("data:image/png") == 3
    assert page.text.count("data:image/svg") == 1
    assert "train &lt;b&gt;" in page.text
    assert "key@" not in page.text
    assert "token=key" not in page.text
    assert "https://***@a.org/w?***" in page.text


def test_runs_beside_each_other(write_run):
    one = write_run("one")
    other = write_run("two", "epoch: 4\nLearningRate: {base_lr: 0.2}\nuse_ema: true\n", ap=(0.1, 0.7), seed=9)
    run_command("report", [str(one), "--compare", str(other), "--output", str(one / "both.html")])
    page = PageReader(one / "both.html")
    assert ["two", "4", "0.7000", "-", "0.2500"] in page.rows
    assert ["seed", "3", "9"] in page.rows
    assert ["LearningRate.base_lr", "0.1", "0.2"] in page.rows
    assert ["use_ema", "-", "true"] in page.rows
    assert "2 keys differ." in page.text


def test_runs_of_one_name_are_distinguished(write_run, tmp_path):
    runs = [read_run(write_run(name)) for name in ("a/run", "b/run")]
    assert "run (1) beside run (2)" in make_run_page(runs).title


def test_a_run_that_was_not_evaluated(write_run):
    folder = write_run("one")
    lines = (folder / "metrics.jsonl").read_text().splitlines()[:3]
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    for file in (folder / "vis").iterdir():
        file.unlink()
    page = make_run_page([read_run(folder)])
    assert "Not evaluated" in page.sections["Results"][0].text
    assert "no pictures" in page.sections["Samples"][0].text


def test_what_is_no_run_is_one_line(write_run, tmp_path):
    with pytest.raises(DataError, match="not the folder of a training run"):
        read_run(tmp_path)
    folder = write_run("one")
    (folder / "metrics.jsonl").write_text("{\n[]\nnonsense")
    with pytest.raises(DataError, match="is empty"):
        read_run(folder)
    (folder / "run.json").write_text("{")
    with pytest.raises(DataError, match="not a JSON file"):
        read_run(folder)
