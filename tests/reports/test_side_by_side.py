"""Results over their images."""

import json

import cv2
import numpy as np
import pytest

from ppose.annotations import read_annotations
from ppose.cli import run_command
from ppose.keypoints import get_keypoint_set
from ppose.metrics.coco_evaluation import Evaluation, make_truth
from ppose.reports.results import read_results
from ppose.reports.side_by_side import mean_oks

COCO17 = get_keypoint_set("coco17")


def visualize(folder, *results, count=2):
    options = ["--dataset", folder / "annotations.json", "--output_dir", folder / "out", "--count", count]
    run_command("visualize_coco", [str(a) for a in (*(folder / r for r in results), *options)])


def test_worst_and_best_images_side_by_side(people_folder):
    """Two results files: three panels, in which the first two agree and the third does not."""
    results = json.loads((people_folder / "good.json").read_text())
    for result in results:
        if result["image_id"] == 3:
            result["keypoints"] = (np.array(result["keypoints"]) + 12).tolist()
    (people_folder / "third.json").write_text(json.dumps([r for r in results if r["image_id"] != 4]))
    (people_folder / "images" / "4.jpg").write_bytes((people_folder / "images" / "2.jpg").read_bytes())
    visualize(people_folder, "third.json", "worse.json")
    worst = sorted(file.name for file in (people_folder / "out" / "worst").iterdir())
    assert worst[0] == "0001_oks_0.000_4.jpg"
    assert worst[1].startswith("0002_oks_0.")
    assert worst[1].endswith("_3.jpg")
    best = sorted((people_folder / "out" / "best").iterdir())
    assert [file.name.split("_")[2] for file in best] == ["1.000", "1.000"]
    picture = cv2.imread(str(best[0])).astype(int)[24:]
    panels = [picture[:, start : start + 900] for start in (0, 904, 1808)]
    assert picture.shape == (400, 3 * 904, 3)
    boxes_alone = np.abs(panels[0] - panels[1]).mean()  # no boxes of people found
    assert np.abs(panels[0] - panels[2]).mean() > 1.5 * boxes_alone > 0


def test_the_longest_name_of_an_image_is_cut(people_folder):
    file = people_folder / "annotations.json"
    content = json.loads(file.read_text())
    content["images"][1]["file_name"] = "a" * 251 + ".jpg"
    file.write_text(json.dumps(content))
    (people_folder / "images" / "2.jpg").rename(people_folder / "images" / f"{'a' * 251}.jpg")
    with pytest.raises(SystemExit):  # two images are not there
        visualize(people_folder, "worse.json", count=4)
    (cut,) = (people_folder / "out" / "worst").glob("*aaa*")
    assert len(cut.name) == 255


def test_what_cannot_be_read_is_reported_at_the_end(people_folder, capsys):
    with pytest.raises(SystemExit):
        visualize(people_folder, "worse.json", count=4)
    output = capsys.readouterr()
    assert output.out.startswith("6 pictures in ")
    assert "2 images could not be read: image not found" in output.err


def test_an_images_oks_is_the_mean_of_its_people(write_people, as_results, tmp_path):
    content = write_people(images=3)
    content["annotations"] = content["annotations"][:6]  # nobody in the third
    results = as_results(content)
    del results[1]
    (tmp_path / "r.json").write_text(json.dumps(results))
    annotations = read_annotations(content, COCO17)
    found = read_results(tmp_path / "r.json", annotations, COCO17)
    oks = mean_oks(Evaluation.of(found, make_truth(annotations), COCO17))
    np.testing.assert_allclose(oks, [2 / 3, 1, np.nan])
