"""Components of third parties: `--plugin`, and entry points of installed packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LOSS = """
from ppose.models import Loss
from ppose.workspace import register

@register(Loss)
class {name}:
    def __call__(self, heatmaps, target, target_weight):
        return (heatmaps - target).abs().mean()
"""
EXPORT = ["export", "-c", "tinypose_128x96", "-o", "weights=none"]  # says what is wrong with the config first


@pytest.fixture
def call(tmp_path):
    """Run `ppose` in the test's folder, where `installed` is as one of installed packages."""
    (tmp_path / "installed").mkdir()
    script = tmp_path / "installed" / "ppose_script.py"  # as pip writes it: its own folder is on the path
    script.write_text("from ppose.cli import main\nmain()\n")

    def _call(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(script), *arguments]
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert result.returncode != 0
        assert "Traceback" not in result.stderr
        return result.stderr.splitlines()

    return _call


def install(folder, module, text, value):
    """A module and the entry point that an installed package would have."""
    (folder / f"{module}.py").write_text(text)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ppose.components]\nmine = {value}\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.losses", "--plugin nowhere.losses: cannot import it: No module named 'nowhere'"),
        ("needs", "--plugin needs: cannot import it: No module named 'nowhere'"),
        (
            "mine/losses.py",
            "--plugin mine/losses.py: expected the name of a module, such as my_package.losses",
        ),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_one_line(call, tmp_path, name, message):
    (tmp_path / "needs.py").write_text("import nowhere\n")
    for command in (EXPORT, ["predict", "--model_dir", ".", "--image_file", "a.jpg"]):
        assert call(*command, "--plugin", name)[-1] == f"error: {message}"


def test_a_plugin_of_the_current_folder_hides_no_installed_module(call, tmp_path):
    (tmp_path / "yaml.py").write_text("raise SystemExit('the wrong module')\n")
    (tmp_path / "mine.py").write_text(LOSS.format(name="MyLoss"))
    lines = call(*EXPORT, "TopDownHRNet.loss=MyLoss", "--plugin", "mine")
    assert lines[-1].startswith("error: no weights at none"), lines


def test_a_name_that_ppose_has_is_one_line(call, tmp_path):
    (tmp_path / "mine.py").write_text(LOSS.format(name="KeyPointMSELoss"))
    lines = call(*EXPORT, "--plugin", "mine")
    assert lines[-1] == "error: ppose.models.losses and mine both register 'KeyPointMSELoss'"


def test_an_installed_packages_components_are_found_without_a_flag(call, tmp_path):
    lines = call(*EXPORT, "TopDownHRNet.loss=MyLoss")
    assert "unknown component 'MyLoss'" in lines[-1]
    install(tmp_path / "installed", "mine", LOSS.format(name="MyLoss"), "mine")
    lines = call(*EXPORT, "TopDownHRNet.loss=MyLoss")
    assert lines[-1].startswith("error: no weights at none"), lines


def test_a_broken_installed_package_is_a_warning(call, tmp_path):
    install(tmp_path / "installed", "broken", "import nowhere\n", "broken")
    lines = call(*EXPORT, "TopDownHRNet.loss=MyLoss")
    warning = "WARNING: components of broken (broken) cannot be imported: No module named 'nowhere'"
    assert lines.count(warning) == 1
    assert "unknown component 'MyLoss'" in lines[-1]
