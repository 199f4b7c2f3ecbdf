"""Keypoint sets: the built-in ones against published figures, and own ones from a config block."""

import json

import numpy as np
import pytest
from pycocotools.cocoeval import Params

from ppose.errors import ConfigError
from ppose.keypoints import BUILTIN_SETS, get_keypoint_set, make_keypoint_set
from ppose.workspace import create

FACE = {"name": "face", "names": ["left_eye", "right_eye", "nose"], "flip_pairs": [["left_eye", 1]]}


@pytest.mark.parametrize(
    ("name", "count", "pairs"),
    [
        ("coco17", 17, 8),
        ("mpii16", 16, 6),
        ("crowdpose14", 14, 6),
        ("posetrack18", 17, 7),
        ("aic14", 14, 6),
        ("halpe26", 26, 11),
        ("wholebody133", 133, 8 + 3 + 29 + 21),
        ("hand21", 21, 0),
        ("face68", 68, 29),
        ("tango11", 11, 0),
        ("envisat16", 16, 0),
        ("envisat12", 12, 0),
    ],
)
def test_builtin_sets_have_the_published_counts(name, count, pairs):
    known = get_keypoint_set(name)
    assert known.name == name
    assert known.num_keypoints == len(known.sigmas) == count
    assert len(known.flip_pairs) == pairs


@pytest.mark.parametrize("known", BUILTIN_SETS.values(), ids=lambda known: known.name)
def test_left_and_right_pair_up_by_name_and_nothing_else_does(known):
    partner = {"left": "right", "right": "left"}
    for index, name in enumerate(known.names):
        side, _, rest = name.partition("_")
        if name.startswith("face-"):
            continue
        mirrored = f"{partner[side]}_{rest}" if side in partner else name
        assert known.names[known.flip_indices[index]] == mirrored


@pytest.mark.parametrize("known", BUILTIN_SETS.values(), ids=lambda known: known.name)
def test_skeleton_sigmas_and_upper_body_are_mirror_images_of_themselves(known):
    flip = known.flip_indices
    limbs = {frozenset(limb) for limb in known.skeleton}
    assert len(limbs) == len(known.skeleton)
    assert {frozenset(flip[list(limb)].tolist()) for limb in limbs} == limbs
    if known.name not in ("aic14", "face68", "wholebody133"):  # published for each side apart
        np.testing.assert_array_equal(np.array(known.sigmas)[flip], known.sigmas)
    assert {int(flip[index]) for index in known.upper_body} == set(known.upper_body)
    assert not any("knee" in known.names[i] or "hip" in known.names[i] for i in known.upper_body)


def test_coco_sigmas_are_those_of_pycocotools():
    np.testing.assert_allclose(get_keypoint_set("coco17").sigmas, Params("keypoints").kpt_oks_sigmas)


def test_coco_and_mpii_layouts_as_their_files_have_them(reference):
    annotations = reference / "reference/evaluators/coco100/person_keypoints_val2014_first100_rebuilt.json"
    category = json.loads(annotations.read_bytes())["categories"][0]
    coco = get_keypoint_set("coco17")
    assert list(coco.names) == category["keypoints"]
    assert {frozenset(limb) for limb in coco.skeleton} == {
        frozenset((a - 1, b - 1)) for a, b in category["skeleton"]
    }
    assert coco.upper_body == tuple(range(11))
    assert get_keypoint_set("mpii16").upper_body == tuple(range(7, 16))


def test_posetrack_ears_are_in_the_layout_but_in_no_limb():
    posetrack = get_keypoint_set("posetrack18")
    ears = [posetrack.names.index("left_ear"), posetrack.names.index("right_ear")]
    assert ears == [3, 4]
    assert not {index for limb in posetrack.skeleton for index in limb} & set(ears)


def test_a_face_mirrors_at_its_middle():
    """The 68 points of 300-W: on its own mirror image a face has its points where their partners were."""
    flip = get_keypoint_set("face68").flip_indices
    alone = [index for index in range(68) if flip[index] == index]
    assert alone == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]  # chin, nose, and the lips' middles
    for points in (range(17), range(17, 27), range(31, 36), range(48, 55), range(60, 65)):
        assert flip[list(points)].tolist() == list(reversed(points))  # rows from side to side
    assert flip[[36, 39, 54, 59]].tolist() == [45, 42, 48, 55]  # corners of the eyes and the mouth, lower lip


def test_a_whole_body_is_made_of_its_parts():
    whole, body, face, hand = (
        get_keypoint_set(name) for name in ("wholebody133", "coco17", "face68", "hand21")
    )
    assert whole.names[:17] == body.names
    assert whole.sigmas[17:23] == (0.068, 0.066, 0.066, 0.092, 0.094, 0.094)
    for start, part in ((0, body), (23, face), (91, hand), (112, hand)):
        assert whole.sigmas[start : start + part.num_keypoints] == part.sigmas
    np.testing.assert_array_equal(whole.flip_indices[23:91] - 23, face.flip_indices)
    assert whole.flip_indices[91] == 112
    assert (9, 92) in whole.skeleton  # the wrist is the body's


def test_skeletons_of_spacecraft_are_those_of_the_published_converter(reference):
    content = json.loads((reference / "reference/converters/spacecraft_envisat_coco.json").read_bytes())
    (category,) = content["categories"]
    envisat = get_keypoint_set("envisat16")
    assert list(envisat.names) == category["keypoints"]
    assert [[a + 1, b + 1] for a, b in envisat.skeleton] == category["skeleton"]


def test_what_has_no_mirror_image_is_not_flipped():
    tango = get_keypoint_set("tango11")
    with pytest.raises(ConfigError, match=r"can_flip is false, but .*prob_flip flips images; set it to 0"):
        create({"RandomFlipHalfBodyTransform": {"trainsize": [64, 64]}}, {}, keypoint_set=tango)
    create({"RandomFlipHalfBodyTransform": {"trainsize": [64, 64], "prob_flip": 0}}, {}, keypoint_set=tango)
    with pytest.raises(ConfigError, match="it has flip_pairs, but can_flip is false"):
        make_keypoint_set(**FACE, can_flip=False)


def test_flip_indices_swap_the_pairs():
    np.testing.assert_array_equal(make_keypoint_set(**FACE).flip_indices, [1, 0, 2])


def test_own_set_from_a_config_block_with_names_indexes_and_defaults():
    block = {**FACE, "skeleton": [["nose", "left_eye"], [2, 1]], "upper_body": ["nose", 0]}
    own = create("KeypointSet", {"KeypointSet": block})
    assert own.flip_pairs == ((0, 1),)
    assert own.skeleton == ((2, 0), (2, 1))
    assert own.upper_body == (2, 0)
    assert own.sigmas == (0.05, 0.05, 0.05)
    assert make_keypoint_set("dots", ["a"], []).flip_indices.tolist() == [0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flip_pairs": [["left_eye", "right_ey"]]}, "did you mean 'right_eye'"),
        ({"flip_pairs": [[0, 3]]}, "flip_pairs has 3, expected 0 to 2"),
        ({"flip_pairs": [[0, -1]]}, "flip_pairs has -1"),
        ({"flip_pairs": [[0, 1], [1, 2]]}, "'right_eye' (1) twice"),
        ({"flip_pairs": [[1, 1]]}, "'right_eye' (1) twice"),
        ({"flip_pairs": [[0, 1, 2]]}, "expected two keypoints"),
        ({"flip_pairs": ["ab"]}, "expected two keypoints"),
        ({"skeleton": [[0, True]]}, "skeleton has True"),
        ({"upper_body": [9]}, "upper_body has 9"),
        ({"sigmas": [0.1, 0.1]}, "2 sigmas for 3 keypoints"),
        ({"sigmas": [0.1, 0.1, 0]}, "sigmas[2] is 0.0, expected a number above 0"),
        ({"sigmas": [0.1, 0.1, float("nan")]}, "sigmas[2] is nan"),
        ({"names": ["left_eye", "left_eye", "right_eye"]}, "'left_eye' twice"),
        ({"names": [], "flip_pairs": []}, "names is empty"),
        ({"names": "nose"}, "expected a list of names"),
    ],
)
def test_a_wrong_block_says_what_is_wrong(change, words):
    with pytest.raises(ConfigError) as error:
        make_keypoint_set(**{**FACE, **change})
    assert words in str(error.value)
    assert "keypoint set 'face'" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(ConfigError, match="did you mean 'coco17'"):
        get_keypoint_set("coco_17")
