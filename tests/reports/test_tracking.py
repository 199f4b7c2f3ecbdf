"""`ppose eval_tracks`: files of tracks against annotated ones."""

import json
import sys
from functools import partial

import numpy as np
import pytest

from ppose.errors import DataError
from ppose.formats.track_files import mot_row, table_header, table_rows
from ppose.formats.track_folders import read_tracks
from ppose.keypoints import get_keypoint_set

pytest.importorskip("motmetrics", reason="of the extra track")

from ppose.reports.tracking import evaluate_keypoints, evaluate_people, pair_videos

NAMES = get_keypoint_set("posetrack18").names
CATEGORY = {"id": 1, "name": "person", "keypoints": list(NAMES), "supercategory": "person", "skeleton": []}
VIDEOS = ("000342_mpii_test", "000522_mpii_test")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Folders of annotations and of tracks: two videos of eight frames with three people, and many errors."""
    folders = [tmp_path_factory.mktemp(name) for name in ("annotated", "found")]
    rng = np.random.default_rng(0)
    for number, video in enumerate(VIDEOS):
        for folder, content in zip(folders, plant(rng, number, video), strict=True):
            (folder / f"{video}.json").write_text(json.dumps(content))
    return folders


def plant(rng, number, video, people=3):
    """A frame nobody annotated, one where nobody is found; numbers that go round; a region to ignore."""
    truth, found = ({"images": [], "annotations": [], "categories": [CATEGORY]} for _ in range(2))
    body = rng.uniform(0, 100, (people, 17, 2)) + np.arange(people)[:, None, None] * [130, 20] + 50
    for frame in range(8):
        image_id = 10003420000 + number * 10000 + frame
        image = {"file_name": f"images/val/{video}/{frame:06d}.jpg", "id": image_id, "frame_id": image_id}
        region = {"ignore_regions_x": [[400, 500, 500, 400]], "ignore_regions_y": [[0, 0, 150, 200]]}
        truth["images"].append(image | (region if frame % 3 == 0 else {}))
        found["images"].append(image)
        body = body + rng.normal(0, 3, body.shape) + [4, 0]
        for person in range(people):
            if frame == 4 and number == 0:
                continue
            points = np.concatenate([body[person], np.ones((17, 1))], axis=1)
            points[3:5] = 0
            points[rng.random(17) < 0.1] = 0
            box = [*body[person].min(axis=0), *np.ptp(body[person], axis=0)]
            truth["annotations"].append(
                {"id": image_id * 100 + person, "image_id": image_id, "category_id": 1, "track_id": person,
                 "keypoints": points.round(3).ravel().tolist(), "bbox": box, "bbox_head": [*box[:2], 30.0,
                 40.0], "scores": []}
            )  # fmt: skip
        if frame == 6 and number == 1:
            continue
        for person in range(people + 1):
            if (person == people and frame % 2) or rng.random() < 0.15:
                continue
            own = body[person] if person < people else rng.uniform(0, 600, (17, 2))
            points = np.concatenate([own + rng.normal(0, 8, (17, 2)), np.ones((17, 1))], axis=1)
            points[3:5] = 0
            track = person if frame < 4 else (person + 1) % people if person < people else person + 7
            box = [*points[5:, :2].min(axis=0), *np.ptp(points[5:, :2], axis=0)]
            found["annotations"].append(
                {"id": image_id * 100 + person, "image_id": image_id, "category_id": 1, "track_id": track,
                 "keypoints": points.round(3).ravel().tolist(), "bbox": box, "scores": [0.9] * 17}
            )  # fmt: skip
    return truth, found


def read_pairs(annotated, found, threshold=0.0):
    return pair_videos(read_tracks(annotated), read_tracks(found), threshold)


def test_keypoints_are_judged_as_by_posetrack(planted):
    """Figures of leonid-pishchulin/poseval, commit 4258a15, on the same two folders."""
    scores = evaluate_keypoints(read_pairs(*planted))
    mota = [
        -9.090909090909083, 14.28571428571429, 23.529411764705888, 6.451612903225811, -10.344827586206895,
        13.33333333333333, -9.677419354838701, 18.181818181818176, 27.27272727272727, 0.0,
        -6.060606060606055, 12.903225806451612, 12.5, 42.42424242424242, 9.677419354838712,
    ]  # fmt: skip
    judges = {  # where it has them: right ankle, knee, hip, left hip, knee, ankle, right wrist, elbow, ...
        "Head": (14, 12, 13), "Shou": (8, 9), "Elb": (7, 10), "Wri": (6, 11), "Hip": (2, 3), "Knee": (1, 4),
        "Ankl": (0, 5),
    }  # fmt: skip
    for name, places in judges.items():
        assert scores[name] == pytest.approx(np.mean([mota[place] for place in places])), name
    assert scores["Total"] == pytest.approx(9.692382882299786)
    assert scores["precision"] == pytest.approx(61.10717528674185)
    assert scores["recall"] == pytest.approx(72.00070909383817)


def test_who_is_right_has_all(planted):
    annotated, _ = planted
    videos = read_pairs(annotated, annotated)
    for similarity in ("oks", "iou"):
        scores = evaluate_people(videos, similarity)
        assert scores["MOTA"] == scores["IDF1"] == scores["HOTA"] == 1
        assert scores["people"] == 3 * 15  # a frame without annotations does not count
    keypoints = evaluate_keypoints(videos)
    assert {keypoints[name] for name in ("Head", "Ankl", "Total", "MOTP", "precision", "recall")} == {100}


def test_a_change_of_numbers_in_the_middle(planted, tmp_path):
    """Each of two videos has two people who exchange their numbers; IDF1 counts the better part."""
    annotated, _ = planted
    for video in VIDEOS:
        content = json.loads((annotated / f"{video}.json").read_text())
        for entry in content["annotations"]:
            if int(entry["image_id"]) % 10000 >= 5 and entry["track_id"] < 2:
                entry["track_id"] = 1 - entry["track_id"]
        (tmp_path / f"{video}.json").write_text(json.dumps(content))
    scores = evaluate_people(read_pairs(annotated, tmp_path), "oks")
    assert scores["switches"] == 4
    assert scores["MOTA"] == pytest.approx(1 - 4 / 45)
    kept = (15 + 2 * max(4, 3) + 2 * max(5, 3)) / 45
    assert scores["IDF1"] == pytest.approx(kept)


def test_files_of_ours_give_the_same(planted, tmp_path):
    """The same tracks as tables and as MOT's text; there frames count, so those of the annotated images."""
    annotated, found = planted
    videos = read_pairs(annotated, found)
    for name, tracks in read_tracks(found).items():
        table, text = [table_header()], []
        for row in range(len(tracks)):
            record = {"bbox": tracks.bboxes_xywh[row].tolist(), "score": 0.9}
            record["keypoints"] = tracks.keypoints[row].ravel().tolist()
            frame, track = int(tracks.frames[row]), int(tracks.tracks[row])
            table.append(table_rows(frame, frame / 25, track, record, tracks.names))
            text.append(mot_row(frame, track, record))
        (tmp_path / "csv").mkdir(exist_ok=True)
        (tmp_path / "mot").mkdir(exist_ok=True)
        (tmp_path / "csv" / f"{name}.tracks.csv").write_text("".join(table))
        (tmp_path / "mot" / f"{name}.txt").write_text("".join(text))
    of_tables = read_pairs(annotated, tmp_path / "csv", 0.2)
    assert evaluate_people(of_tables, "oks") == evaluate_people(videos, "oks")
    assert evaluate_keypoints(of_tables) == evaluate_keypoints(videos)
    # Boxes have no keypoints by which to leave out who is in an ignored region; nobody's middle is.
    people = evaluate_people(read_pairs(annotated, tmp_path / "mot"), "iou")
    assert people["people"] == 45


def test_keypoints_of_low_scores_were_not_found(planted, tmp_path):
    annotated, _ = planted
    for name, tracks in read_tracks(annotated).items():
        lines = [table_header()]
        for row in range(len(tracks)):
            points = tracks.keypoints[row].copy()
            points[:, 2] *= np.where(np.arange(17) == NAMES.index("right_ankle"), 0.1, 0.9)
            record = {
                "bbox": tracks.bboxes_xywh[row].tolist(),
                "score": 0.9,
                "keypoints": points.ravel().tolist(),
            }
            lines.append(table_rows(int(tracks.frames[row]), 0.0, int(tracks.tracks[row]), record, NAMES))
        (tmp_path / f"{name}.tracks.csv").write_text("".join(lines))
    scores = evaluate_keypoints(read_pairs(annotated, tmp_path, 0.2))
    assert (scores["Ankl"], scores["Knee"]) == (50, 100)
    assert evaluate_keypoints(read_pairs(annotated, tmp_path, 0.05))["Ankl"] == 100


@pytest.fixture
def call(call_ppose):
    return partial(call_ppose, "eval_tracks")


def test_the_command(call, planted, tmp_path):
    annotated, found = planted
    done = call("--annotations", annotated, "--tracks", found, "--json", tmp_path / "scores.json")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "videos: 2; people matched by OKS >= 0.5"
    assert lines[1].split()[:3] == ["MOTA", "IDF1", "HOTA"]
    assert dict(zip(lines[4].split(), lines[5].split(), strict=True))["Total"] == "9.7"
    written = json.loads((tmp_path / "scores.json").read_text())
    assert written["keypoints"]["Total"] == pytest.approx(9.692382882299786)
    assert f"{100 * written['people']['MOTA']:.1f}" == lines[2].split()[0]


def test_two_single_videos_are_one_whatever_they_are_called(call, tmp_path):
    (tmp_path / "gt.txt").write_text("".join(f"{i},1,{10 * i},10,40,80,1\n" for i in range(1, 9)))
    (tmp_path / "walk.txt").write_text(
        "".join(f"{i},{1 + i // 5},{10 * i},10,40,80,0.9\n" for i in range(1, 9))
    )
    done = call("--annotations", tmp_path / "gt.txt", "--tracks", tmp_path / "walk.txt")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "videos: 1; people matched by IoU >= 0.5"
    assert done.stdout.splitlines()[2].split()[0] == "87.5"  # one switch in eight
    assert "keypoints" not in done.stdout


def test_what_does_not_fit_is_one_line(call, planted, tmp_path):
    annotated, found = planted
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / f"{VIDEOS[0]}.txt").write_text("1,1,0,0,5,5\n")
    done = call("--annotations", annotated, "--tracks", tmp_path / "one")
    problem = "1 of 2 videos have no tracks: 000522_mpii_test; found tracks of 000342_mpii_test"
    assert (done.returncode, done.stderr) == (1, f"error: {problem}\n")
    done = call("--annotations", tmp_path / "none.json", "--tracks", found)
    problem = f"file of tracks not found: {tmp_path / 'none.json'}"
    assert (done.returncode, done.stderr) == (1, f"error: {problem}\n")
    videos = read_pairs(annotated / f"{VIDEOS[0]}.json", tmp_path / "one")
    with pytest.raises(DataError, match=r"no keypoint is in both: annotated are nose, .*--similarity iou"):
        evaluate_people(videos, "oks")


def test_without_motmetrics_a_line_says_how_to_get_it(call, planted, monkeypatch):
    for name in (
        "motmetrics",
        "ppose.metrics.track_scores",
        "ppose.metrics.posetrack",
        "ppose.reports.tracking",
    ):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "motmetrics", None)
    done = call("--annotations", planted[0], "--tracks", planted[1])
    assert done.returncode == 1
    assert done.stderr == "error: motmetrics is needed and not installed: pip install 'ppose[track]'\n"


def test_posetracks_own_sequences(reference):
    """Three videos, of each of which one frame is annotated here."""
    videos = read_pairs(
        reference / "data/posetrack18/annotations/val",
        reference / "data/posetrack18/annotations/test_posetrack18_val.json",
    )
    assert [len(video.truth) for video in videos] == [1, 2, 11]
    scores = evaluate_people(videos, "oks")
    assert (scores["MOTA"], scores["people"]) == (1, 14)
    assert evaluate_keypoints(videos)["Total"] == 100
