"""What a command's user sees of errors."""

import numpy as np
import paddle
import pytest

from ppose.commandline import run


@pytest.mark.parametrize(
    "ask", [lambda: np.empty((1 << 20, 1 << 20, 1 << 10)), lambda: paddle.empty([1 << 20, 1 << 20, 1 << 10])]
)
def test_too_little_memory_is_one_line(ask, capsys):
    with pytest.raises(SystemExit) as leave:
        run(ask)
    assert leave.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: not enough memory: ")
    assert "alloc" in line
    assert line.endswith("(smaller batches need less)")
