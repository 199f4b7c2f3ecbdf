"""`ppose <command>`, and the scripts that do the same."""

import runpy
import sys
from pathlib import Path

import pytest

import ppose
from ppose import cli

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = {
    "train": "tools/train.py",
    "eval": "tools/eval.py",
    "eval_tracks": "tools/eval_tracks.py",
    "check": "tools/check_dataset.py",
    "convert": "tools/convert_labels.py",
    "split": "tools/split_dataset.py",
    "merge": "tools/merge_datasets.py",
    "browse": "tools/browse_dataset.py",
    "infer": "tools/infer.py",
    "export": "tools/export_model.py",
    "quantize": "tools/quantize.py",
    "predict": "deploy/infer.py",
    "benchmark": "deploy/benchmark.py",
    "tune": "deploy/tune.py",
    "serve": "deploy/serve.py",
    "batch": "deploy/batch.py",
    "model_info": "tools/model_info.py",
    "synthesize": "dataset/make_synthetic.py",
    "translate": "tools/translate.py",
    "mpii2coco": "dataset/converters/mpii2coco.py",
    "posetrack2coco": "dataset/converters/posetrack2coco.py",
    "spacecraft2coco": "dataset/converters/spacecraft2coco.py",
    "weights": "tools/weights.py",
    "analyse_errors": "tools/analyse_errors.py",
    "visualize_coco": "tools/visualize_coco.py",
    "download": "dataset/download_coco.py",
    "report": "tools/report.py",
    "models": "tools/models.py",
}


@pytest.fixture
def call(monkeypatch, capsys):
    """Call `ppose`, or a script, in this process: exit code and output."""

    def _call(*arguments, script=None):
        monkeypatch.setattr(sys, "argv", [str(script or "ppose"), *arguments])
        with pytest.raises(SystemExit) as leave:
            cli.main() if script is None else runpy.run_path(str(script), run_name="__main__")
        return leave.value.code or 0, capsys.readouterr()

    return _call


def test_every_script_is_a_command():
    folders = ("tools", "deploy", "dataset", "dataset/converters")
    scripts = [path for folder in folders for path in (ROOT / folder).glob("*.py")]
    names = {str(path.relative_to(ROOT)) for path in scripts}
    others = {f"tools/{name}.py" for name in ("quickstart", "self_test_gpu", "check_release")}
    assert names == {*SCRIPTS.values(), *others}
    assert tuple(SCRIPTS) == cli.COMMANDS


@pytest.mark.parametrize(("name", "script"), SCRIPTS.items())
def test_a_script_has_the_commands_options(call, monkeypatch, name, script):
    monkeypatch.setenv("COLUMNS", "500")
    code, output = call(name, "--help")
    assert code == 0
    assert f"usage: ppose {name} " in output.out
    code, of_script = call("--help", script=ROOT / script)
    assert code == 0
    shown = of_script.out.replace(f"usage: {Path(script).name} ", f"usage: ppose {name} ")
    assert shown.split() == output.out.split()


def test_help_lists_the_commands(call):
    code, output = call("--help")
    assert code == 0
    for name in cli.COMMANDS:
        assert f"\n  {name} " in output.out
    assert call() == (code, output)


def test_version(call):
    code, output = call("--version")
    assert (code, output.out) == (0, f"ppose {ppose.__version__}\n")


def test_every_command_has_the_limit_of_pixels(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    for name, default in (("predict", "100000000"), ("train", "100000000"), ("serve", "50000000")):
        assert f"larger ones are not decoded (default: {default})" in call(name, "--help")[1].out
    code, output = call("check", "none.json", "--max_pixels", "0")
    assert code == 2
    assert "--max_pixels: got '0', expected a whole number of 1 or more" in output.err


def test_an_unknown_command_is_one_line_with_the_nearest(call):
    code, output = call("trian", "-c", "a.yml")
    assert code == 2
    assert output.err.splitlines()[-1] == "ppose: error: no command 'trian'; did you mean 'train'?"
    _, output = call("fly")
    assert "no command 'fly'; expected one of train, eval" in output.err


def test_help_of_all_commands_needs_nothing_heavy(run_script):
    """Else `--help` would take seconds, or fail where Paddle is not installed."""
    script = """
import sys
from ppose import cli
for arguments in (["--help"], *([name, "--help"] for name in cli.COMMANDS)):
    sys.argv = ["ppose", *arguments]
    try:
        cli.main()
    except SystemExit as leave:
        assert leave.code == 0, arguments
heavy = {"paddle", "cv2", "numpy", "yaml", "onnxruntime", "scipy", "jinja2"} & set(sys.modules)
assert not heavy, heavy
"""
    result = run_script("-c", script)
    assert result.returncode == 0, result.stderr
