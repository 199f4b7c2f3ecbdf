"""Bodies of synthetic people: angles within their limits, and points where those lead."""

from dataclasses import replace

import numpy as np
import pytest

from ppose.data.synthetic.body import (
    ANGLE_LIMITS,
    ANGLES,
    HEAD_LIMITS,
    HOLDS,
    TRUNK_LIMITS,
    build_skeleton,
    sample_pose,
    sample_shape,
)

FRONT = np.eye(3)


def test_poses_keep_the_limits_and_use_them():
    rng = np.random.default_rng(0)
    poses = [sample_pose(rng) for _ in range(3000)]
    for values, limits in (
        (np.concatenate([pose.limbs for pose in poses]), ANGLE_LIMITS),
        (np.array([pose.trunk for pose in poses]), TRUNK_LIMITS),
        (np.array([pose.head for pose in poses]), HEAD_LIMITS),
    ):
        assert (values >= limits[:, 0]).all()
        assert (values <= limits[:, 1]).all()
        # the middle nine tenths of people use at least a fifth of what a joint can do
        assert (
            np.ptp(np.quantile(values, (0.05, 0.95), axis=0), axis=0) > 0.2 * np.ptp(limits, axis=1)
        ).all()
    assert {pose.hold for pose in poses} == set(HOLDS)
    yaw = np.array([pose.root[0] for pose in poses])
    assert (np.histogram(yaw, 8, (-180, 180))[0] > 120).all()
    assert 0.5 < (np.abs(yaw) < 60).mean() < 0.85


def test_skeletons_have_the_angles_and_lengths_asked_for():
    rng = np.random.default_rng(1)
    for _ in range(50):
        pose, shape = sample_pose(rng), sample_shape(rng)
        body = build_skeleton(pose, shape, FRONT)
        for joint, middle, end, angle in (
            (body.shoulders, body.elbows, body.wrists, "elbow_flexion"),
            (body.hips, body.knees, body.ankles, "knee_flexion"),
        ):
            upper, lower = middle - joint, end - middle
            cosine = (upper * lower).sum(1) / np.linalg.norm(upper, axis=1) / np.linalg.norm(lower, axis=1)
            flexion = pose.limbs[:, ANGLES.index(angle)]
            np.testing.assert_allclose(cosine, np.cos(np.deg2rad(flexion)), atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(body.knees - body.hips, axis=1), 0.245 * shape.legs)
        np.testing.assert_allclose(np.linalg.norm(body.wrists - body.elbows, axis=1), 0.146 * shape.arms)


@pytest.mark.parametrize(
    ("angle", "axis", "sign"),
    [
        ("shoulder_flexion", 2, -1),  # the hands go forwards, to the camera
        ("shoulder_abduction", 0, 1),  # outwards: left to the image's right
        ("hip_flexion", 2, -1),
        ("hip_abduction", 0, 1),
        ("knee_flexion", 2, 1),  # the heels go backwards
    ],
)
def test_angles_turn_limbs_the_right_way(angle, axis, sign):
    rng = np.random.default_rng(2)
    limbs = np.zeros((2, len(ANGLES)))
    pose = replace(sample_pose(rng), limbs=limbs, trunk=np.zeros(3), head=np.zeros(3), root=np.zeros(3))
    shape = sample_shape(rng)
    bent = limbs.copy()
    bent[:, ANGLES.index(angle)] = 30
    before = build_skeleton(pose, shape, FRONT)
    after = build_skeleton(replace(pose, limbs=bent), shape, FRONT)
    ends = "wrists" if angle.startswith("shoulder") else "ankles"
    moved = (getattr(after, ends) - getattr(before, ends))[:, axis]
    outwards = np.array([1, -1]) if axis == 0 else np.ones(2)
    assert (moved * outwards * sign > 0.05).all()


def test_less_variety_is_nearer_to_standing_still_and_facing_the_camera():
    def draw(variety):
        poses = [sample_pose(np.random.default_rng(seed), variety) for seed in range(200)]
        return np.array([p.limbs for p in poses]), np.array([p.root[0] for p in poses])

    still, some, full = draw(0.0), draw(0.25), draw(1.0)
    np.testing.assert_array_equal(still[0] - still[0][0], 0)
    np.testing.assert_array_equal(still[1], 0)
    np.testing.assert_allclose(some[1], 0.25 * full[1])
    assert (some[0].std(axis=0) < 0.3 * full[0].std(axis=0)).all()
