"""The export that many tests of inference run."""

import pytest

from ppose.inference.model_folder import read_model_folder


@pytest.fixture
def folder(model_dir):
    """`model_dir` as it is read."""
    return read_model_folder(model_dir)
