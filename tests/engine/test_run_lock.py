"""One run in a folder at a time."""

import logging
import multiprocessing
import os
import socket

import pytest

from ppose.engine.run_lock import own_folder
from ppose.errors import ConfigError


def _hold(folder, held, end):
    with own_folder(folder):
        held.set()
        end.wait(30)
        os._exit(9)  # as by kill -9


def test_the_second_run_is_refused_and_a_dead_one_is_taken_over(tmp_path, caplog):
    context = multiprocessing.get_context("fork")
    held, end = context.Event(), context.Event()
    first = context.Process(target=_hold, args=(tmp_path / "run", held, end))
    first.start()
    assert held.wait(30)
    whose = f"process {first.pid} on {socket.gethostname()}"
    with (
        pytest.raises(ConfigError, match=f"another run is active in .*: {whose}; wait"),
        own_folder(tmp_path / "run"),
    ):
        pass
    end.set()
    first.join()
    (tmp_path / "run" / ".model.part").write_text("half")
    with caplog.at_level(logging.WARNING), own_folder(tmp_path / "run"):
        assert f"the run of {whose} was killed" in caplog.text
        assert not (tmp_path / "run" / ".model.part").exists()
    caplog.clear()
    with own_folder(tmp_path / "run"):
        assert caplog.text == ""
