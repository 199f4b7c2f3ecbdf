import json
import shutil

import runs
import yaml


def _run(run_script, model_dir, *arguments):
    return run_script(
        "deploy/benchmark.py", "--model_dir", model_dir, "--rounds", 1, "--batches", 2, *arguments
    )


def test_prints_and_writes_a_line_for_each_choice(run_script, model_dir, tmp_path):
    out = tmp_path / "out.json"
    result = _run(
        run_script, model_dir, "--runtime", "auto,onnxruntime", "--batch_size", "1,3",
        "--cpu_threads", 1, "--precision", "fp32,fp16", "--json", out,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split()[:4] == ["runtime", "precision", "threads", "batch"]
    assert len(lines) == 1 + 4 + 2  # four are measured; why another precision is not, is said once a runtime
    assert lines[-1].startswith("not measured: onnxruntime, fp16: ")
    records = json.loads(out.read_text())
    assert [(r["runtime"], r["batch_size"]) for r in records] == [
        ("openvino", 1), ("openvino", 3), ("onnxruntime", 1), ("onnxruntime", 3),
    ]  # fmt: skip
    for line, record in zip(lines[1:5], records, strict=True):
        assert line.split()[0] == record["runtime"]
        assert line.split()[4] == f"{record['p50']:.2f}"


def test_measures_people_in_images(run_script, model_dir, write_coco, tmp_path):
    coco = write_coco(tmp_path / "coco", images=2)
    result = _run(
        run_script, model_dir, "--runtime", "onnxruntime", "--image_dir", coco / "images",
        "--boxes", coco / "annotations.json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2


def test_what_cannot_be_measured_is_one_line(run_script, model_dir, tmp_path):
    nothing = _run(run_script, model_dir, "--runtime", "paddle", "--precision", "fp16")
    assert nothing.returncode == 1
    assert nothing.stderr.startswith("error: ")
    assert "Traceback" not in nothing.stderr
    missing = _run(run_script, tmp_path)
    assert missing.returncode == 1
    assert "Traceback" not in missing.stderr
    edited = shutil.copytree(model_dir, tmp_path / "edited")
    cfg = yaml.safe_load((edited / "infer_cfg.yml").read_text())
    del cfg["batch_transforms"][0]  # the normalisation
    (edited / "infer_cfg.yml").write_text(yaml.safe_dump(cfg))
    runs.assert_one_line(_run(run_script, edited, "--runtime", "onnxruntime"), "not as it was exported")
    for arguments in (["--batch_size", "0"], ["--boxes", "boxes.json"], ["--rounds", "1,2"]):
        assert _run(run_script, model_dir, *arguments).returncode == 2
