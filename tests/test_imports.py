"""What the deployment side imports stays free of Paddle and of the training side."""

import shutil

import pytest

DEPLOYED = [
    *("codecs", "geometry", "keypoints", "metrics", "transforms", "visualize", "workspace"),
    *("inference", "inference.command", "inference.runtimes", "inference.pose_files", "image_files"),
    "weights.checkpoint",
]


@pytest.mark.parametrize("module", DEPLOYED)
def test_imports_neither_paddle_nor_networks(run_script, module):
    script = f"""
import sys, ppose.{module}
heavy = [m for m in sys.modules if m.startswith(("paddle", "ppose.data", "ppose.models", "ppose.engine"))]
assert not heavy, heavy
"""
    result = run_script("-c", script)
    assert result.returncode == 0, result.stderr


def test_the_predictor_of_an_export_needs_no_paddle(run_script):
    script = "import sys, ppose; ppose.Predictor.from_dir; assert 'paddle' not in sys.modules"
    result = run_script("-c", script)
    assert result.returncode == 0, result.stderr


def test_a_transform_is_created_without_paddle(run_script):
    script = """
import sys
from ppose.workspace import create
create({"NormalizeImage": {"mean": [0, 0, 0], "std": [1, 1, 1]}}, {})
assert "paddle" not in sys.modules
"""
    result = run_script("-c", script)
    assert result.returncode == 0, result.stderr


def test_an_unknown_transform_without_paddle_is_named(run_script, model_dir, tmp_path):
    """What cannot be imported is said, and no traceback of the import shown."""
    shutil.copytree(model_dir, tmp_path / "model")
    file = tmp_path / "model" / "infer_cfg.yml"
    file.write_text(file.read_text().replace("TopDownEvalAffine", "TopDownEvalAfine"))
    script = f"""
import sys
sys.modules["paddle"] = None
from ppose.errors import ConfigError
from ppose.inference.model_folder import read_model_folder
try:
    read_model_folder({str(tmp_path / "model")!r})
except ConfigError as error:
    print(error)
"""
    result = run_script("-c", script)
    assert "unknown component 'TopDownEvalAfine'; did you mean 'TopDownEvalAffine'?" in result.stdout
    assert "not installed, and needed by some components: paddle" in result.stdout


def test_training_loads_what_draws_its_curves_only_to_draw_them(run_script):
    script = """
import sys, ppose.engine.train
heavy = {"matplotlib", "visualdl"} & sys.modules.keys()
assert not heavy, heavy
"""
    result = run_script("-c", script)
    assert result.returncode == 0, result.stderr
