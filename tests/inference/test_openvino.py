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
    opened = open_runtime(read_model_folder(model_dir), "openvino", cache_dir=tmp_path)
    kept = []
    for count in (1, 2, 3):  # one person; several
        opened(np.zeros((count, 3, 96, 64), np.float32))
        kept.append(len(list(tmp_path.rglob("*.blob"))))
    assert kept == [1, 2, 2]


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
