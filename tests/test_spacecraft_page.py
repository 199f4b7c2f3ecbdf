"""docs/spacecraft.md: its commands run, with a few images and one epoch, and the poses agree."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "spacecraft.md").read_text()

SMALL = {
    "make_synthetic.py": ["--images", "32", "--val_images", "4"],
    "train.py": ["-o", "epoch=2", "snapshot_epoch=1", "worker_num=0", "log_iter=1"],
    "eval.py": ["-o", "worker_num=0"],
}


@pytest.mark.heavy
def test_every_command_of_the_page_runs(tmp_path):
    for name in ("tools", "ppose", "deploy"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "dataset").mkdir()
    shutil.copy(ROOT / "dataset" / "make_synthetic.py", tmp_path / "dataset")
    outputs = []
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            command = shlex.split(line)
            run = [sys.executable, *command[1:], *SMALL.get(Path(command[1]).name, [])]
            result = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
            assert result.returncode == 0, (command, result.stderr)
            outputs.append(result.stdout)
    assert "error_px_visible" in outputs[2]
    assert "speedplus" in outputs[2]
    folders = ("output/synthetic_satellite_6dof/vis", "output/satellites_deployed")
    trained, deployed = (json.loads((tmp_path / f / "keypoints.json").read_text()) for f in folders)
    assert len(trained) == len(deployed) == 4
    for one, other in zip(trained, deployed, strict=True):
        # Heatmaps that have hardly learnt are flat: a rounding moves their peaks by tenths of a pixel.
        np.testing.assert_allclose(one["keypoints"], other["keypoints"], atol=0.5)
        assert (one["pose"] is None) == (other["pose"] is None)


def test_the_page_names_what_there_is():
    for name in re.findall(r"`((?:hrnet|synthetic)_\w+)`", PAGE):
        assert (ROOT / "configs" / f"{name}.yml").is_file()
    for key in ("quaternion", "translation", "covariance", "inliers", "error_px"):
        assert f'"{key}"' in PAGE
