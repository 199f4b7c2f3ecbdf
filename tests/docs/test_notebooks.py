"""examples/*.ipynb: all cells run, with small numbers."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from forked_commands import run_program

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = {
    "first_pose": "IMAGES, VAL_IMAGES, EPOCHS = 64, 8, 1",
    "own_keypoints": "IMAGES, EPOCHS = 16, 1",
    "distill_and_quantize": "EPOCHS, CALIBRATION = 1, 8",
}


def read_cells(name):
    content = json.loads((ROOT / "examples" / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def to_program(cells, parameters):
    """The cells as Python: parameters replaced, lines of commands run."""
    parts = []
    for cell in cells:
        text = "".join(cell["source"])
        text = parameters if cell["metadata"].get("tags") == ["parameters"] else text
        for line in text.splitlines():
            if line.startswith("!"):
                python, script, *words = shlex.split(line[1:])
                (name,) = re.findall(r'run_command\("(\w+)"\)', (ROOT / script).read_text())
                assert python == "python"
                line = f"run_forked({name!r}, [{', '.join('f' + repr(word) for word in words)}])"
            parts.append(line)
    return "\n".join(parts) + "\n"


@pytest.mark.parametrize("name", SMALL)
def test_the_notebook_is_clean_and_python(name):
    cells = read_cells(name)
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
    compile(to_program(cells, SMALL[name]), name, "exec")
    (parameters,) = [cell for cell in cells if cell["metadata"].get("tags") == ["parameters"]]
    assert "".join(parameters["source"]).split(" = ")[0] == SMALL[name].split(" = ")[0]


def test_there_is_a_test_of_each():
    assert {path.stem for path in (ROOT / "examples").glob("*.ipynb")} == set(SMALL)


@pytest.mark.heavy
def test_the_cells_run(tmp_path):
    (tmp_path / "examples").mkdir()
    (tmp_path / "tools").mkdir()
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    outputs = []
    for name, parameters in SMALL.items():
        said = run_program(to_program(read_cells(name), parameters), tmp_path / "examples")
        assert said.count("ran ") >= 3, said
        outputs += [said]
    assert re.search(r"left_hip +[-\d.]+ +[-\d.]+ +[-\d.]+", outputs[0])
    assert "narrow_int8: 0." in outputs[2]
    assert list((tmp_path / "output" / "arrows" / "vis").glob("*.png"))
