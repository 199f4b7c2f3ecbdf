"""The synthetic satellite: its annotations agree with rays, with projections by hand, and with the files."""

import itertools
import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from ppose.data import KeypointTopDownCocoDataset
from ppose.data.synthetic import render_satellite, satellite, write_satellites
from ppose.data.synthetic.facets import rasterize
from ppose.data.synthetic.satellite import NAMES, SKELETON, make_satellite, view
from ppose.engine.task import Task
from ppose.errors import DataError
from ppose.geometry.object_model import read_object_model
from ppose.geometry.pnp import RigidPose, project
from ppose.workspace import load_config

CONFIG = "configs/synthetic_satellite.yml"
SIZE = (192, 160)


def read_points(annotation):
    return np.reshape(annotation["keypoints"], (-1, 3))


def sample_poses(count):
    rng = np.random.default_rng(4)
    return [satellite._sample_pose(SIZE, rng) for _ in range(count)]


def turn(axis, degrees):
    """A rotation matrix by Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def meet(origin, direction, facet):
    """Where a ray meets a facet: multiples of ``direction`` by its two triangles (Moller, Trumbore 1997)."""
    for a, b, c in ((facet[0], facet[1], facet[2]), (facet[0], facet[2], facet[3])):
        p = np.cross(direction, c - a)
        determinant = (b - a) @ p
        if abs(determinant) < 1e-12:
            continue
        s = origin - a
        u, q = s @ p / determinant, np.cross(s, b - a)
        v = direction @ q / determinant
        if u >= 0 and v >= 0 and u + v <= 1:
            return (c - a) @ q / determinant
    return np.inf


def test_pixels_show_the_facet_that_their_ray_meets_first():
    rng = np.random.default_rng(0)
    for rotation, position in sample_poses(12):
        shown, _, _ = view(rotation, position, SIZE)
        assert shown.shape == (320, 384)
        corners = make_satellite().corners @ rotation.T + position
        rows, columns = np.nonzero(shown)
        for chosen in rng.integers(0, len(rows), 12):
            # The focal length is 1.56 image widths; the optical axis meets the middle of the image.
            y, x = rows[chosen], columns[chosen]
            ray = np.array([(x + 0.5 - 192) / (1.56 * 384), (y + 0.5 - 160) / (1.56 * 384), 1])
            depths = np.array([meet(np.zeros(3), ray, facet) for facet in corners])
            own = depths[shown[y, x] - 1]
            assert own == pytest.approx(depths.min(), rel=1e-9)


def test_a_square_before_the_camera_covers_its_pixels_and_hides_what_is_behind():
    square = np.array([(-1, 1, 4), (1, 1, 4), (1, -1, 4), (-1, -1, 4)], float)  # its front to the camera
    behind, turned_away = square * [1.2, 3.6, 1.5], (square * [3, 3, 0.5])[::-1]
    shown = rasterize(np.stack([behind, square, turned_away]), 20.0, np.array([14.5, 14.5]), (30, 30))
    expected = np.zeros((30, 30), int)
    expected[3:27, 11:19] = 1  # +-12 pixels in height, +-4 in width around 14.5
    expected[10:20, 10:20] = 2  # +-5
    np.testing.assert_array_equal(shown, expected)


def test_keypoints_are_projected_from_the_model():
    assert len(NAMES) == len(make_satellite().keypoints) == 11
    at = dict(zip(NAMES, make_satellite().keypoints, strict=True))
    np.testing.assert_allclose(at["panel_front_left"], [-0.4, 0.36, 0.17])
    np.testing.assert_allclose(at["base_back_right"], [0.28, -0.32, -0.17])
    rotation, position = turn((1, 0, 0), -90) @ turn((0, 0, 1), 25), np.array([0.2, -0.1, 3.0])
    _, keypoints, _ = view(rotation, position, SIZE)
    for name, (x, y) in zip(NAMES, keypoints, strict=True):
        px, py, pz = rotation @ at[name] + position
        assert x == pytest.approx(1.56 * 192 * px / pz + 95.5)
        assert y == pytest.approx(1.56 * 192 * py / pz + 79.5)


def test_hidden_keypoints_are_those_behind_body_panel_or_antennas():
    """Steps along each ray, and asks whether one lies in the body, the panel or an antenna."""
    found = {True: 0, False: 0}
    for rotation, position in sample_poses(25):
        _, _, hidden = view(rotation, position, SIZE)
        camera = -position @ rotation  # in the satellite's frame
        for point, is_hidden in zip(make_satellite().keypoints, hidden, strict=True):
            length = np.linalg.norm(point - camera)
            distances = np.arange(0.02, 1.8, 0.0015)  # from the keypoint; below 28 mm nothing hides it
            way = point + distances[:, None] / length * (camera - point)
            before = distances > 0.035
            in_body = (np.abs(way / [0.28, 0.32, 0.17]) < 1).all(axis=1) & (way[:, 2] < 0.161)
            in_panel = (np.abs((way - [0, 0, 0.17]) / [0.4, 0.36, 0.005]) < 1).all(axis=1)
            in_rod = np.zeros(len(way), bool)
            for root, tip in satellite._ANTENNAS:
                along = ((way - root) @ (tip - root) / ((tip - root) @ (tip - root))).clip(0, 1)
                in_rod |= np.linalg.norm(way - root - along[:, None] * (tip - root), axis=1) < 0.012
            if (in_body & before).sum() > 8 or (in_panel & before).sum() > 4:
                assert is_hidden
            elif not (in_body.any() or in_panel.any() or in_rod.any()):
                assert not is_hidden
            found[bool(is_hidden)] += 1
    assert min(found.values()) > 40


def test_a_picture_depends_on_seed_and_index_alone_and_its_annotation_fits():
    first, annotations = render_satellite(3, 5)
    again, annotations_again = render_satellite(3, 5)
    np.testing.assert_array_equal(first, again)
    assert annotations == annotations_again
    assert first.dtype == np.uint8
    flags = []
    for index in range(60):
        size = (128, 96) if index % 2 else (96, 128)
        image, [annotation] = render_satellite(7, index, size)
        assert image.shape == (size[1], size[0], 3)
        assert (image == image[..., :1]).all()
        points, (x, y, w, h) = read_points(annotation), annotation["bbox"]
        labelled = points[points[:, 2] > 0, :2]
        assert annotation["num_keypoints"] == len(labelled) >= 6
        assert (points[points[:, 2] == 0] == 0).all()
        assert (labelled > [x - 2, y - 2]).all()
        assert (labelled < [x + w + 1, y + h + 1]).all()
        assert min(x, y) >= 0
        assert x + w <= size[0]
        assert y + h <= size[1]
        assert 0.15 * w * h < annotation["area"] <= w * h
        flags.append(points[:, 2])
    shares = [(np.array(flags) == flag).mean() for flag in range(3)]
    assert min(shares) > 0.015
    assert shares[2] > 0.5
    for bad in ({"seed": -1, "index": 0}, {"seed": 0, "index": 0, "size": (8, 8)}):
        with pytest.raises(DataError, match="got s"):
            render_satellite(**bad)


def test_the_satellite_shows_in_the_picture():
    """Inside the silhouette it is brighter, or differs more from pixel to pixel, than empty space does."""
    brighter = []
    for index in range(30):
        image, [annotation] = render_satellite(1, index)
        x, y, w, h = (int(side) for side in annotation["bbox"])
        box = np.zeros(image.shape[:2], bool)
        box[y : y + h, x : x + w] = True
        brighter.append(np.percentile(image[box], 90) > np.percentile(image[~box], 50) + 10)
    assert np.mean(brighter) > 0.9


def test_no_relabelling_makes_a_mirrored_satellite_the_satellite():
    """Why flips are off: even with left and right, or front and back, swapped, landmarks are far off."""
    points = make_satellite().keypoints
    mirrored = points * [-1, 1, 1]
    for swaps in itertools.product((False, True), repeat=3):
        names = list(NAMES)
        for swap, (a, b) in zip(
            swaps, (("left", "right"), ("front", "back"), ("panel", "base")), strict=True
        ):
            if swap:
                names = [n.replace(a, "*").replace(b, a).replace("*", b) for n in names]
        order = [
            NAMES.index(n) if n in NAMES else NAMES.index(own) for n, own in zip(names, NAMES, strict=True)
        ]
        # Kabsch: the rotation that brings one onto the other best.
        a, b = mirrored[order] - mirrored.mean(axis=0), points - points.mean(axis=0)
        u, _, vt = np.linalg.svd(a.T @ b)
        rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        assert np.linalg.norm(a @ rotation - b, axis=1).max() > 0.1


def test_files_fit_the_config_that_is_all_there_is_of_these_keypoints(tmp_path):
    assert write_satellites(tmp_path / "a", 4, 2) == write_satellites(tmp_path / "b", 4, 2) == 4
    for file in (tmp_path / "a").rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()
    category = COCO(str(tmp_path / "a" / "annotations.json")).loadCats(1)[0]
    keypoint_set = Task(load_config(CONFIG)).keypoint_set
    assert list(keypoint_set.names) == category["keypoints"] == list(NAMES)
    assert {frozenset(limb) for limb in keypoint_set.skeleton} == {frozenset(limb) for limb in SKELETON}
    assert [[a + 1, b + 1] for a, b in SKELETON] == category["skeleton"]
    dataset = KeypointTopDownCocoDataset(
        "images", "annotations.json", [64, 64], keypoint_set, str(tmp_path / "a")
    )
    image, [annotation] = render_satellite(2, 0)
    assert np.abs(dataset[0]["image"].astype(int) - image).mean() < 12  # what JPEG takes
    np.testing.assert_allclose(dataset[0]["keypoints"], read_points(annotation)[:, :2])


def test_the_config_never_mirrors():
    task = Task(load_config(CONFIG))
    assert not task.test.flip
    flips = task.reader("TrainReader")
    step = next(t for t in flips.sample_transforms if type(t).__name__ == "RandomFlipHalfBodyTransform")
    sample = {"image": np.zeros((8, 8, 3)), "keypoints": np.zeros((11, 2)), "visible": np.ones(11)}
    rng = np.random.default_rng(0)
    for _ in range(200):
        out = step({**sample, "center": np.ones(2), "scale": np.ones(2), "generator": rng})
        assert out["flip"] is False
        np.testing.assert_array_equal(out["center"], 1)  # no half body either


def test_the_command_draws_satellites(tmp_path, run_script):
    done = run_script(
        "dataset/make_synthetic.py", "--of", "satellites", "--output", tmp_path,
        "--images", 2, "--val_images", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 images, 2 satellites" in done.stdout
    content = [json.loads((tmp_path / part / "annotations.json").read_text()) for part in ("train", "val")]
    assert [len(part["images"]) for part in content] == [2, 1]
    assert content[0]["categories"][0]["name"] == "satellite"


def test_the_model_file_and_the_pose_put_the_keypoints_where_they_are(tmp_path):
    write_satellites(tmp_path, 6, seed=3)
    model = read_object_model(tmp_path / "model.json", NAMES)
    content = json.loads((tmp_path / "annotations.json").read_text())
    for annotation in content["annotations"]:
        points = np.reshape(annotation["keypoints"], (-1, 3))
        visible = points[:, 2] > 0
        found = model.solve(points[:, :2], visible.astype(float))
        true = annotation["pose"]
        np.testing.assert_allclose(found.translation, true["translation"], rtol=0.02, atol=0.01)
        assert abs(np.dot(found.quaternion, true["quaternion"])) > 1 - 1e-4
        exact = RigidPose(
            np.array(true["quaternion"]), np.array(true["translation"]), np.zeros((6, 6)), visible, 0.0
        )
        seen = project(model.points, exact, model.camera)
        np.testing.assert_allclose(seen[visible], points[visible, :2], atol=0.0051)  # written with two digits
