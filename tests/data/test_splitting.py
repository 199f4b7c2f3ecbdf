"""`ppose split` and `ppose merge`: nothing is on two sides, nothing is lost."""

import json

import cv2
import numpy as np
import pytest

from ppose.annotations.merge import merge_contents
from ppose.cli import run_command
from ppose.data.near_duplicates import find_near_duplicates
from ppose.data.splitting import assign_groups, group_images
from ppose.data.synthetic import write_dataset
from ppose.errors import DataError

NAMES = ["tip", "left_tail", "right_tail"]


def make_content(images=60, *, frames=4, names=NAMES):
    """Images in videos of ``frames``; person p of five is on each fifth; sizes and visibility vary."""
    rng = np.random.default_rng(0)
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 7, "name": "arrow", "keypoints": names}],
    }
    for number in range(images):
        file = f"v{number // frames}/{number}.jpg"
        content["images"].append(
            {"id": 100 + number, "file_name": file, "width": 400, "height": 400, "own": 1}
        )
        side = (20, 60, 200)[number % 3]
        flags = np.arange(3) < 1 + number % 3
        points = np.column_stack([rng.uniform(0, side, (3, 2)) * flags[:, None], 2 * flags])
        content["annotations"].append(
            {
                "id": 500 + number, "image_id": 100 + number, "category_id": 7, "bbox": [0, 0, side, side],
                "area": side * side, "keypoints": points.ravel().tolist(), "person": f"p{number % 5}",
            }
        )  # fmt: skip
    return content


def read_parts(folder, *names):
    return [json.loads((folder / f"{name}.json").read_text()) for name in names]


@pytest.fixture
def split(tmp_path):
    """Writes content, splits it with these options, and gives the parts' contents."""

    def _split(content, *options, parts=("train=0.5", "val=0.25", "test=0.25")):
        (tmp_path / "a.json").write_text(json.dumps(content))
        run_command(
            "split", [str(tmp_path / "a.json"), "--parts", *parts, "--duplicates", "ignore", *options]
        )
        return read_parts(tmp_path, *(part.partition("=")[0] for part in parts))

    return _split


def test_parts_have_their_shares_of_every_kind(split):
    content = make_content()
    parts = split(content)
    assert [len(part["images"]) for part in parts] == [30, 15, 15]
    assert sorted(e["id"] for part in parts for e in part["annotations"]) == [
        e["id"] for e in content["annotations"]
    ]
    assert parts[0]["categories"] == content["categories"]
    for part, share in zip(parts, (0.5, 0.25, 0.25), strict=True):
        assert all(image["own"] == 1 for image in part["images"])
        for side in (20, 60, 200):
            assert abs(sum(e["bbox"][2] == side for e in part["annotations"]) - 20 * share) <= 1


@pytest.mark.parametrize(("by", "key"), [("folder", None), ("person", "person")])
def test_a_group_is_on_one_side(split, by, key):
    parts = split(make_content(), "--by", by)
    sides = [
        {e[key] for e in part["annotations"]}
        if key
        else {i["file_name"].split("/")[0] for i in part["images"]}
        for part in parts
    ]
    assert sum(map(len, sides)) == len(set.union(*sides))
    assert all(sides)
    assert len(parts[0]["images"]) == pytest.approx(30, abs=6)


def test_groups_that_touch_are_one():
    content = make_content(6, frames=1)
    for entry, person in zip(content["annotations"], "aabbcd", strict=True):
        entry["person"] = person
    assert sorted(map(sorted, group_images(content, "person", [(1, 2)]))) == [[0, 1, 2, 3], [4], [5]]
    with pytest.raises(DataError, match="no image and no annotation has a 'bird'"):
        group_images(content, "bird")


def test_the_same_seed_gives_the_same_parts():
    counts, groups = np.ones((20, 1)), [[row] for row in range(20)]
    one, again, other = (assign_groups(groups, counts, {"a": 1, "b": 1}, seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other


def test_near_duplicates_stay_together(tmp_path, capsys):
    """Copies in another quality and size of drawn people, of whom no two pictures are alike."""
    write_dataset(tmp_path, 24, seed=1, size=(160, 120))
    content = json.loads((tmp_path / "annotations.json").read_text())
    files = [str(tmp_path / "images" / image["file_name"]) for image in content["images"]]
    assert find_near_duplicates(files) == []
    for number in (3, 7, 11):
        image = cv2.resize(cv2.imread(files[number]), (200, 150))
        name = f"copy{number}.jpg"
        cv2.imwrite(str(tmp_path / "images" / name), image, [cv2.IMWRITE_JPEG_QUALITY, 60])
        content["images"].append({"id": 900 + number, "file_name": name, "width": 200, "height": 150})
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    run_command("split", [str(tmp_path / "annotations.json"), "--parts", "train=0.5", "val=0.5"])
    assert "3 pairs of near-duplicate pictures" in capsys.readouterr().out
    names = [
        {image["file_name"] for image in part["images"]} for part in read_parts(tmp_path, "train", "val")
    ]
    for number in (3, 7, 11):
        assert (
            sum({f"copy{number}.jpg", content["images"][number]["file_name"]} <= part for part in names) == 1
        )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--parts", "train"], "expected a part such as val=0.2"),
        (["--by", "video"], "no image and no annotation has a 'video'"),
        ([], "set --image_dir"),
    ],
)
def test_split_says_what_is_wrong(options, words, tmp_path, capsys):
    (tmp_path / "a.json").write_text(json.dumps(make_content(4)))
    ignore = ["--duplicates", "ignore"] if options else []
    with pytest.raises(SystemExit):
        run_command("split", [str(tmp_path / "a.json"), *ignore, *options])
    assert words in capsys.readouterr().err


def test_merge_gives_ids_anew_and_matches_categories_and_keypoints(tmp_path, capsys):
    one, other = make_content(8), make_content(8)
    for image in other["images"]:
        image["file_name"] = "w" + image["file_name"]
    other["categories"] = [
        {"id": 1, "name": "bird", "keypoints": ["beak"]},
        {"id": 2, "name": "Arrow", "keypoints": ["rightTail", "tip", "leftTail"]},
    ]
    for entry in other["annotations"]:
        entry["category_id"] = 2
        points = np.reshape(entry["keypoints"], (3, 3))
        entry["keypoints"] = points[[2, 0, 1]].ravel().tolist()
    files = []
    for name, content in (("a", one), ("b", other)):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(content))
    run_command("merge", [*map(str, files), "--output", str(tmp_path / "c.json")])
    assert "16 images, 16 annotations of arrow, bird" in capsys.readouterr().out
    merged = json.loads((tmp_path / "c.json").read_text())
    for key in ("images", "annotations"):
        assert [entry["id"] for entry in merged[key]] == list(range(1, 17))
    assert {entry["category_id"] for entry in merged["annotations"]} == {1}
    points = [entry["keypoints"] for entry in merged["annotations"]]
    assert points[:8] == points[8:]
    assert merged["annotations"][9]["person"] == "p1"


def test_merge_of_one_image_in_two_files_and_of_two_images_with_one_name(tmp_path, capsys):
    one, other = make_content(2), make_content(2)
    merged, shared = merge_contents([("a", one), ("b", other)])
    assert (len(merged["images"]), len(merged["annotations"]), shared) == (2, 4, 2)
    other["images"][0]["width"] = 999
    with pytest.raises(DataError, match=r"v0/0.jpg has another width than in an earlier file.*--root"):
        merge_contents([("a", one), ("b", other)])
    for name, content in (("a", one), ("b", other)):
        (tmp_path / name / "images").mkdir(parents=True)
        (tmp_path / name / "x.json").write_text(json.dumps(content))
    files = [str(tmp_path / name / "x.json") for name in "ab"]
    run_command("merge", [*files, "--output", str(tmp_path / "c.json"), "--root", str(tmp_path)])
    names = [image["file_name"] for image in json.loads((tmp_path / "c.json").read_text())["images"]]
    assert names == ["a/images/v0/0.jpg", "a/images/v0/1.jpg", "b/images/v0/0.jpg", "b/images/v0/1.jpg"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["categories"][0].update(keypoints=["a", "b", "c"]), "in an earlier file they are tip"),
        (lambda c: c["annotations"][0].update(image_id=1), "is of an image that is not listed"),
        (lambda c: c.update(images=[3]), "'images' is not a list of objects"),
        (lambda c: c["images"][0].pop("id"), "has no id"),
        (lambda c: c["annotations"][0].update(category_id=[]), "is no whole number"),
    ],
)
def test_merge_says_what_is_wrong(change, words):
    broken = make_content(2)
    change(broken)
    with pytest.raises(DataError, match=words):
        merge_contents([("a", make_content(2)), ("b", broken)])
