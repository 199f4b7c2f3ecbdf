"""SPEED's and SPEED+'s scores against those of the challenge's own code."""

import json

import numpy as np

from ppose.metrics.speed import speed_scores


def test_scores_are_those_of_the_published_code(reference):
    content = json.loads((reference / "reference/evaluators/spacecraft/speed_score.json").read_bytes())
    cases = content["cases"]
    poses = [[case[key] for case in cases] for key in ("q_pred", "t_pred", "q_true", "t_true")]
    for name, values in speed_scores(*poses).items():
        expected = [case[name] for case in cases]
        np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-7 if name != "error_q_deg" else 1e-5)


def test_a_quaternion_and_its_negative_are_one_pose():
    q, t = np.array([[0.5, -0.5, 0.5, 0.5]]), np.array([[0.0, 0.0, 2.0]])
    scores = speed_scores(-2 * q, t, q, t)
    assert scores["speed"] == 0
    turned = speed_scores([[1, 0, 0, 0]], [[0, 0, 2.2]], [[0, 1, 0, 0]], t)
    np.testing.assert_allclose(turned["speed"], np.pi + 0.1)
