"""Pixel errors against those of HRNet for spacecraft."""

import json

import numpy as np
import pytest

from ppose.metrics.pixel_error import pixel_errors


def test_errors_are_those_of_the_published_code(reference):
    content = json.loads((reference / "reference/evaluators/spacecraft/pixel_error.json").read_bytes())
    cases = content["cases"]
    truth, found = (np.array([case[key] for case in cases]) for key in ("truth", "prediction"))
    scales = [case["scale"] for case in cases]
    errors = pixel_errors(found[..., :2], truth[..., :2], scales, truth[..., 2] > 0)
    for name, own in (
        ("mean_error_px", "error_px"),
        ("mean_error_over_scale", "error_over_scale"),
        ("mean_error_px_visible_only", "error_px_visible"),
    ):
        np.testing.assert_allclose(errors[own], [case[name] for case in cases], rtol=1e-12)
    means = [errors["error_px"].mean(), errors["error_over_scale"].mean()]
    assert means == pytest.approx(content["mean_over_images"], rel=1e-12)
