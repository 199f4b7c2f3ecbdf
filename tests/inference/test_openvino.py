"""What is OpenVINO's alone: compiled models that are kept, and signals once a model is given up."""

import numpy as np
import pytest

from ppose.inference.model_folder import read_model_folder
from ppose.inference.runtimes import open_runtime

_GIVE_UP = """
import signal, sys, threading
import numpy as np
from ppose.inference.model_folder import read_model_folder
from ppose.inference.runtimes import open_runtime

def load():
    opened = open_runtime(read_model_folder(sys.argv[1]), "openvino")
    opened(np.zeros((1, 3, 96, 64), np.float32))
    return opened

signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
held = [load()]
{steps}
assert not held
signal.raise_signal(signal.SIGUSR1)
"""


def test_openvino_keeps_compiled_models(model_dir, tmp_path):
    """One for one person, one for each size that comes often, one for all others."""
    image = np.random.default_rng(0).random((5, 3, 96, 64), np.float32)
    opened = open_runtime(read_model_folder(model_dir), "openvino", cache_dir=tmp_path, batches=[4])
    kept = []
    for count in (1, 2, 3, 4, 5):
        found = opened(image[:count])
        np.testing.assert_allclose(found[-1:], opened(image[count - 1 : count]), atol=1e-6)
        kept.append(len([file for file in tmp_path.iterdir() if file.suffix == ".blob"]))
    assert kept == [1, 2, 2, 3, 3]


def test_other_runtimes_need_no_sizes(model_dir):
    opened = open_runtime(read_model_folder(model_dir), "onnxruntime", batches=[4])
    assert opened(np.zeros((4, 3, 96, 64), np.float32)).shape == (4, 2, 24, 16)


@pytest.mark.parametrize(
    "steps",
    [
        "held[0] = load(); held.clear()",
        "thread = threading.Thread(target=held.clear); thread.start(); thread.join()",
    ],
    ids=["after another", "in another thread"],
)
def test_signals_are_handled_when_a_model_is_given_up(run_script, model_dir, steps):
    result = run_script("-c", _GIVE_UP.format(steps=steps), model_dir)
    assert (result.returncode, result.stdout) == (0, "handled\n"), result.stderr
