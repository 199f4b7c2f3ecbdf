"""Files as users of pose tools have reported them (`cases/` beside the reference figures), with real weights.

AP is PP-TinyPose's at 128x96, flip test and DARK, of the six people of these files; in each case that of the
plain file, but where areas are taken from boxes (0.53 of them) or where somebody has no keypoints.
"""

import json

import pytest

from ppose.engine.evaluate import evaluate
from ppose.engine.load import load_trained
from ppose.engine.network_runtime import network_predictor
from ppose.engine.task import Task
from ppose.errors import DataError
from ppose.workspace import load_config

PLAIN, PLAIN_BY_OLD_RULES = 0.6667, 0.6583  # these: boxes as annotated, all keypoints in a person's score
OLD_RULES = ["EvalDataset.clip_bbox=false", "+KeyPointTopDownCOCOEval.visible_threshold=0"]


@pytest.fixture(scope="module")
def evaluate_case(reference):
    """Evaluates the annotations of a case; gives AP, the dataset and the results."""
    if not (reference / "cases").is_dir():
        pytest.skip(f"no cases at {reference}")
    network = []

    def _evaluate(case, *options):
        folder = reference / "cases" / case
        images = folder / "images" if (folder / "images").is_dir() else reference / "data/coco_dev/images"
        task = Task(
            load_config(
                "configs/tinypose_128x96.yml",
                [
                    f"EvalDataset.image_dir={images}", f"EvalDataset.anno_path={folder / 'ann.json'}",
                    "EvalDataset.dataset_dir=''", "worker_num=0",
                    f"weights={reference}/data/weights/tinypose_128x96.pdparams", *options,
                ],
            )
        )  # fmt: skip
        dataset = task.dataset("EvalDataset")
        metric = task.metric(dataset)
        if not network:
            network.append(load_trained(task))
        evaluate(task, network_predictor(task, network[0], "EvalReader"), dataset, metric)
        return metric.compute()["AP"], dataset, metric.results()

    return _evaluate


@pytest.mark.parametrize(
    ("case", "people", "ap", "old_ap"),
    [
        ("bbox_file_text_ids", 6, PLAIN, PLAIN_BY_OLD_RULES),  # its annotations are the plain ones
        ("area0_half", 6, 0.6824, 0.6779),
        ("area0_all", 6, 0.6545, 0.6416),
        ("names_other_order", 6, PLAIN, PLAIN_BY_OLD_RULES),
        ("ap10k_categories", 6, PLAIN, PLAIN_BY_OLD_RULES),
        ("second_category_empty", 6, PLAIN, PLAIN_BY_OLD_RULES),
        ("cvat_track_empty", 5, 0.6825, 0.7046),
        ("nested_keypoints", 6, PLAIN, PLAIN_BY_OLD_RULES),
        ("float_ids", 6, PLAIN, PLAIN_BY_OLD_RULES),
        ("category_21", 6, PLAIN, PLAIN_BY_OLD_RULES),
        ("exif_dataset", 6, 0.6723, 0.6354),  # compressed once more than the plain photos
    ],
)
def test_cases_have_the_plain_files_ap(evaluate_case, case, people, ap, old_ap):
    found, dataset, _ = evaluate_case(case)
    assert len(dataset) == people
    assert found == pytest.approx(ap, abs=0.002)
    assert evaluate_case(case, *OLD_RULES)[0] == pytest.approx(old_ap, abs=0.002)


def test_merged_ids_are_an_error_with_both_files(evaluate_case):
    with pytest.raises(
        DataError, match=r"id 1 stands for two files, 000000000036\.jpg and 000000000086\.jpg"
    ):
        evaluate_case("merged_ids")


def test_ap10k_categories_are_chosen_by_name(evaluate_case):
    _, dataset, results = evaluate_case("ap10k_categories", "+EvalDataset.categories=[antelope]")
    assert len(dataset) == 3
    assert dataset.annotations.left_out == {"category zebra": 3}
    assert {result["category_id"] for result in results} == {1}


def test_results_of_category_21_are_for_its_file(evaluate_case, reference, capsys):
    """What pycocotools makes of the results with the file itself: 0.000 before."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    ap, _, results = evaluate_case("category_21")
    truth = COCO(str(reference / "cases/category_21/ann.json"))
    evaluation = COCOeval(truth, truth.loadRes(json.loads(json.dumps(results))), "keypoints")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    capsys.readouterr()
    assert evaluation.stats[0] == pytest.approx(ap)


def test_photos_that_were_labelled_unturned_have_a_key(evaluate_case):
    """The same photos with the key are taken as stored, which these labels are not made for: AP 0."""
    ap, dataset, _ = evaluate_case("exif_dataset", "+EvalDataset.use_exif=false")
    assert dataset[0]["image"].shape == (481, 640, 3)
    assert ap < 0.05
