"""Made-up people: what is annotated agrees with bodies in space and with what is painted."""

from dataclasses import replace

import numpy as np

from ppose.data.synthetic import render_scene
from ppose.data.synthetic.body import ANGLES, sample_pose, sample_shape
from ppose.data.synthetic.figure import build_figure, make_figure
from ppose.data.synthetic.look import sample_look
from ppose.data.synthetic.paint import Light, paint_figure, place, project
from ppose.data.synthetic.parts import Part
from ppose.data.synthetic.scene import annotate, draw_scene
from ppose.keypoints import get_keypoint_set

NAMES = get_keypoint_set("coco17").names
LIGHT = Light(np.array([0.0, -1.0]), (0.8, 1.0, 1.1))
FRONT = np.eye(3)


def paint_alone(placed, size, seed=0):
    """The map of parts of one figure without anything else."""
    parts = np.zeros(size[::-1], np.uint8)
    image = np.zeros((*parts.shape, 3), np.uint8)
    paint_figure(image, parts, placed, LIGHT, np.random.default_rng(seed))
    return image, parts


def make_placed(figure, pixels=220.0, size=(320, 320)):
    return place(project(figure, 1000.0), pixels, np.array(size) / 2), size


def read_points(annotation):
    return np.reshape(annotation["keypoints"], (-1, 3))


def test_a_scene_depends_on_seed_and_index_alone():
    first, annotations = render_scene(3, 5, (192, 256))
    render_scene(8, 1)
    again, annotations_again = render_scene(3, 5, (192, 256))
    assert first.shape == (256, 192, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert annotations == annotations_again
    for seed, index in ((3, 6), (4, 5), (5, 3)):
        other, of_other = render_scene(seed, index, (192, 256))
        assert np.abs(other.astype(int) - first).mean() > 15
        assert of_other != annotations


def cross(a, b):
    return a[0] * b[1] - a[1] * b[0]


def test_left_and_right_follow_from_the_face():
    """In a face that is seen, the left eye is on the right of a line down to the nose; of a back of a head
    that is seen, the left ear is on the left. So however the person is turned in the image."""
    faces, backs = [], []
    for index in range(350):
        for annotation in render_scene(11, index, (192, 256), (1, 2))[1]:
            points = dict(zip(NAMES, read_points(annotation), strict=True))
            seen = {name for name, point in points.items() if point[2] == 2}
            if {"nose", "left_eye", "right_eye"} <= seen:
                middle = (points["left_eye"] + points["right_eye"]) / 2
                across = points["left_eye"] - points["right_eye"]
                faces.append(cross(across, points["nose"] - middle) > 0)
            if {"left_ear", "right_ear"} <= seen and points["nose"][2] == 0 == points["left_eye"][2]:
                across = points["left_ear"] - points["right_ear"]
                shoulders = (points["left_shoulder"] + points["right_shoulder"]) / 2
                head = (points["left_ear"] + points["right_ear"]) / 2
                if points["left_shoulder"][2] and points["right_shoulder"][2]:
                    backs.append(cross(across, shoulders - head) < 0)
    assert len(faces) > 80
    assert len(backs) > 15
    # the rest look far up or down, where these lines turn round
    assert np.mean(faces) > 0.96
    assert np.mean(backs) > 0.96


def test_the_picture_shows_which_way_people_look():
    rng = np.random.default_rng(4)
    for _ in range(20):
        look = replace(sample_look(rng), hair_style="full", hat="none", front="print", skirt=0.0)
        pose = replace(
            sample_pose(rng), limbs=np.zeros((2, len(ANGLES))), trunk=np.zeros(3), head=np.zeros(3)
        )
        shape, hair = sample_shape(rng), []
        for yaw in (0.0, 180.0):
            figure = build_figure(shape, replace(pose, root=np.array([yaw, 0, 0])), look, FRONT)
            left, right = (
                figure.keypoints[NAMES.index("left_hip")],
                figure.keypoints[NAMES.index("right_hip")],
            )
            assert (left[0] > right[0]) == (yaw == 0)
            placed, size = make_placed(figure)
            _, parts = paint_alone(placed, size)
            head = (parts == Part.HEAD).sum()
            hair.append((parts == Part.HAIR).sum() / (head + (parts == Part.HAIR).sum()))
            prints = [h for h in figure.hulls if h.part == Part.CHEST and not h.shaded]
            assert bool(prints) == (yaw == 0)
        assert hair[0] < 0.65
        assert hair[1] > 0.8


def find_nearest_surfaces(figure, point):
    """Of each part, how near to the camera its surface is behind this keypoint: balls all along its hulls."""
    nearest = {}
    for hull in figure.hulls:
        if not hull.shaded:
            continue
        for a in range(hull.first, hull.last):
            for b in range(a, hull.last):
                share = np.linspace(0, 1, 25)[:, None]
                balls = figure.centers[a] + share * (figure.centers[b] - figure.centers[a])
                radii = figure.radii[a] + share[:, 0] * (figure.radii[b] - figure.radii[a])
                room = radii**2 - ((balls[:, :2] - point[:2]) ** 2).sum(axis=1)
                if (room > 0).any():
                    surface = (balls[room > 0, 2] - np.sqrt(room[room > 0])).min()
                    nearest[hull.part] = min(surface, nearest.get(hull.part, np.inf))
    return nearest


CARRIED_BY = {
    "shoulder": "CHEST NECK UPPER_ARM SLEEVE",
    "elbow": "UPPER_ARM SLEEVE FOREARM CUFF",
    "wrist": "FOREARM CUFF HAND",
    "hip": "PELVIS CHEST SKIRT THIGH TROUSER",
    "knee": "THIGH TROUSER SHANK SKIRT",
    "ankle": "SHANK FOOT TROUSER SKIRT",
}


def carries(part, name):
    side, joint = name.split("_")
    own = CARRIED_BY[joint].split()
    return part.name in own or any(part.name == f"{side.upper()}_{own_part}" for own_part in own)


def test_hidden_keypoints_lie_behind_other_parts_in_space():
    rng = np.random.default_rng(6)
    agree = {True: [], False: []}
    for _ in range(60):
        figure = make_figure(rng)
        placed, size = make_placed(figure)
        _, parts = paint_alone(placed, size)
        for k in range(5, 17):
            nearest = find_nearest_surfaces(figure, figure.keypoints[k])
            own = min((z for part, z in nearest.items() if carries(part, NAMES[k])), default=np.inf)
            other = min((z for part, z in nearest.items() if not carries(part, NAMES[k])), default=np.inf)
            if abs(own - other) < 0.03:  # side by side: neither clearly hides the other
                continue
            x, y = np.round(placed.keypoints[k]).astype(int)
            painted = carries(Part(int(parts[y, x])), NAMES[k])
            agree[other < own].append(painted == (own < other))
    assert len(agree[True]) > 40
    assert np.mean(agree[True]) > 0.9
    assert np.mean(agree[False]) > 0.97


def test_flags_follow_the_painted_scene():
    """Every figure painted alone gives its silhouette; those painted later hide it."""
    hidden_by_others = 0
    for seed in range(25):
        scene = draw_scene(np.random.default_rng(seed), (256, 224), (3, 3))
        size = scene.parts.shape[::-1]
        covers = [paint_alone(placed, size)[1] for placed in scene.figures]
        scales = [placed.scale for placed in scene.figures]
        assert scales == sorted(scales)  # the nearest are the largest
        by_points = {tuple(p.round(2)): n for n, placed in enumerate(scene.figures) for p in placed.keypoints}
        for annotation in annotate(scene):
            points = read_points(annotation)
            seen = points[points[:, 2] == 2]
            assert len(seen) >= 3
            assert annotation["num_keypoints"] == (points[:, 2] > 0).sum()
            assert (points[points[:, 2] == 0] == 0).all()
            owner = by_points[tuple(seen[0, :2])]
            x, y = np.round(points[:, :2]).astype(int).T
            assert (covers[owner][y, x][points[:, 2] == 2] > 0).all()
            for nearer in covers[owner + 1 :]:
                assert not (nearer[y, x][points[:, 2] == 2] > 0).any()
                hidden_by_others += int((nearer[y, x][points[:, 2] == 1] > 0).sum())
            mask = scene.owners == owner + 1
            rows, columns = np.nonzero(mask)
            assert annotation["area"] == mask.sum() <= (covers[owner] > 0).sum()
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            np.testing.assert_array_equal(annotation["bbox"], box)
    assert hidden_by_others > 20


def test_things_before_people_hide_them():
    covered = 0
    for seed in range(60):
        scene = draw_scene(np.random.default_rng(seed), (192, 256), (1, 1))
        _, alone = paint_alone(scene.figures[0], (192, 256))
        for annotation in annotate(scene):
            points = read_points(annotation)
            x, y = np.round(points[:, :2]).astype(int).T
            behind = (alone[y, x] > 0) & (scene.owners[y, x] == 0) & (points[:, 2] > 0)
            assert (points[behind, 2] == 1).all()
            covered += behind.sum()
    assert covered > 20


def test_every_picture_has_somebody_and_all_flags_occur():
    flags = []
    for index in range(150):
        size = (128, 96) if index % 2 else (96, 128)
        image, annotations = render_scene(21, index, size, (1, 1 + index % 4))
        assert image.shape == (size[1], size[0], 3)
        assert image.std() > 4
        assert annotations
        for annotation in annotations:
            points, (x, y, w, h) = read_points(annotation), annotation["bbox"]
            labelled = points[points[:, 2] > 0]
            assert (labelled[:, :2] >= -0.5).all()
            assert (labelled[:, :2] <= np.array(size) - 0.5).all()
            assert min(x, y) >= 0
            assert x + w <= size[0]
            assert y + h <= size[1]
            seen = points[points[:, 2] == 2, :2]
            assert (seen >= np.array([x, y]) - 1).all()
            assert (seen <= np.array([x + w, y + h])).all()
            assert annotation["iscrowd"] == 0
            flags.append(points[:, 2])
    flags = np.array(flags)
    shares = [(flags == flag).mean() for flag in range(3)]
    assert 0.05 < shares[0] < 0.4
    assert 0.05 < shares[1] < 0.4
    assert shares[2] > 0.45
    assert ((flags == 2).mean(axis=0) > 0.3).all()  # of each keypoint
