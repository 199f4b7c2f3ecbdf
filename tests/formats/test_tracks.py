"""Files of tracks, written and read back."""

import json

import numpy as np
import pytest

from ppose.errors import DataError
from ppose.formats.track_files import mot_row, read_mot, read_track_table, table_header, table_rows, video_of
from ppose.formats.track_folders import read_tracks

NAMES = ("nose", "left, wrist")  # with a comma, as no name should be
PEOPLE = [  # frame, time, track, record
    (
        0,
        0.0,
        1,
        {"bbox": [1.5, 2.0, 30.0, 60.0], "keypoints": [3.25, 4.0, 0.9, 5.0, 6.0, 0.25], "score": 0.575},
    ),
    (
        0,
        0.0,
        4,
        {"bbox": [70.0, 2.0, 30.0, 60.0], "keypoints": [80.0, 4.0, 0.5, 85.0, 6.0, 0.5], "score": 0.5},
    ),
    (
        7,
        0.28,
        1,
        {"bbox": [2.0, 2.0, 30.0, 60.0], "keypoints": [4.0, 4.0, 0.1, 1e-7, 0.0, 0.0], "score": 0.05}
        | {"is_filled": True},
    ),
]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "walk.tracks.csv"
    path.write_text(table_header() + "".join(table_rows(*person, NAMES) for person in PEOPLE))
    return path


def test_the_table_is_read_back(table):
    lines = table.read_text().splitlines()
    assert len(lines) == 1 + len(PEOPLE) * len(NAMES)
    assert lines[0].startswith(
        "frame,time,track,box_x,box_y,box_width,box_height,score,is_filled,keypoint,x,y,"
    )
    assert lines[2] == '0,0.0,1,1.5,2.0,30.0,60.0,0.575,0,"left, wrist",5.0,6.0,0.25'
    read = read_track_table(table)
    assert (read.frames.tolist(), read.tracks.tolist()) == ([0, 0, 7], [1, 4, 1])
    assert (read.names, read.is_filled.tolist()) == (NAMES, [False, False, True])
    for row, (_, _, _, person) in enumerate(PEOPLE):
        assert read.bboxes_xywh[row].tolist() == person["bbox"]
        assert read.keypoints[row].ravel().tolist() == person["keypoints"]
        assert read.scores[row] == person["score"]


def test_pandas_reads_the_table(table):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(table)
    assert frame.groupby("keypoint")["x"].mean()["nose"] == pytest.approx((3.25 + 80 + 4) / 3)


def test_mot_text_counts_from_one_and_is_read_back(tmp_path):
    path = tmp_path / "walk.txt"
    path.write_text("".join(mot_row(frame, track, person) for frame, _, track, person in PEOPLE))
    assert path.read_text().splitlines()[0] == "1,1,2.5,3.0,30.0,60.0,0.575,-1,-1,-1"
    read = read_mot(path)
    assert (read.frames.tolist(), read.tracks.tolist(), read.names) == ([0, 0, 7], [1, 4, 1], ())
    assert read.bboxes_xywh.tolist() == [person["bbox"] for *_, person in PEOPLE]


def test_a_gt_file_of_mot_is_its_folders(tmp_path):
    """Its seventh column is 0 for who is not to be counted."""
    path = tmp_path / "MOT17-02" / "gt" / "gt.txt"
    path.parent.mkdir(parents=True)
    path.write_text("1,1,912,484,97,109,0,7,1\n1,2,10,20,30,40,1,1,1\n\n2,2,11,20,30,40,1,1,0.8\n")
    assert video_of(path) == "MOT17-02"
    read = read_tracks(path)["MOT17-02"]
    assert (read.frames.tolist(), read.tracks.tolist()) == ([0, 1], [2, 2])
    assert read.bboxes_xywh[0].tolist() == [9, 19, 30, 40]


def test_empty_files_have_nobody(tmp_path):
    (tmp_path / "a.tracks.csv").write_text(table_header())
    (tmp_path / "b.txt").write_text("")
    videos = read_tracks(tmp_path)
    assert {name: len(tracks) for name, tracks in videos.items()} == {"a": 0, "b": 0}


def write_posetrack(path, people, **image):
    """people: (frame, track, keypoints (17, 3)); images 0 to 2 of a video."""
    names = [f"images/val/{path.stem}/{frame:06d}.jpg" for frame in range(3)]
    content = {
        "images": [{"id": 100 + i, "file_name": name, **image} for i, name in enumerate(names)],
        "annotations": [
            {"id": number, "image_id": 100 + frame, "category_id": 1, "track_id": track,
             "bbox": [0, 0, 50, 80], "bbox_head": [10, 10, 30, 40],
             "keypoints": np.asarray(points, float).ravel().tolist()}
            for number, (frame, track, points) in enumerate(people, start=1)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": [
            "nose", "head_bottom", "head_top", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
            "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
            "right_knee", "left_ankle", "right_ankle"]}],
    }  # fmt: skip
    path.write_text(json.dumps(content))


def test_posetracks_files(tmp_path):
    points = np.concatenate([np.arange(34).reshape(17, 2) + 5, np.ones((17, 1))], axis=1)
    points[3] = 0
    write_posetrack(
        tmp_path / "a.json",
        [(0, 3, points), (2, 3, points)],
        ignore_regions_x=[[0, 9, 9]],
        ignore_regions_y=[[0, 0, 9]],
    )
    (read,) = read_tracks(tmp_path).values()
    assert (read.frames.tolist(), read.tracks.tolist(), read.annotated.tolist()) == ([0, 2], [3, 3], [0, 2])
    assert read.head_sizes.tolist() == [30, 30]  # 0.6 of the diagonal of 30 x 40
    assert read.keypoints[0, 3].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(read.keypoints[0, 4:], points[4:])
    assert read.ignored[1][0].tolist() == [[0, 0], [9, 0], [9, 9]]


def test_a_table_that_excel_saved_is_read(table, tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n"))
    (read,), (expected,) = read_tracks(tmp_path / "a.csv").values(), read_tracks(table).values()
    np.testing.assert_array_equal(read.keypoints, expected.keypoints)


def test_what_is_no_file_of_tracks(tmp_path, table):
    lines = table.read_text().splitlines(keepends=True)
    points = np.ones((17, 3))

    def write(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    write_posetrack(tmp_path / "twice.json", [(0, 3, points), (0, 3, points + 1)])
    write_posetrack(tmp_path / "nobody.json", [(0, None, points)])
    write_posetrack(
        tmp_path / "regions.json", [(0, 1, points)], ignore_regions_x=[[1, 2]], ignore_regions_y=[[1]]
    )
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    for path, expected in (
        (tmp_path / "none.csv", "file of tracks not found: .*none.csv"),
        (tmp_path / "none.json", "not found"),
        (write("a.pkl", ""), r"not a file of tracks: expected .json \(PoseTrack18\), .csv or .txt"),
        (tmp_path / "folder", "has no tracks: expected .json, .csv, .txt files"),
        (tmp_path / "binary.csv", "not a file of text"),
        (write("b.csv", "a,b\n1,2\n"), "no column frame, time, track"),
        (write("c.csv", lines[0] + "0,0,x,1,1,1,1,1,0,nose,1,1,1\n"), "c.csv: line 2: got '0,0,x"),
        (write("d.csv", lines[0] + "0,0,1\n"), "line 2: got '0,0,1', expected numbers"),
        (write("e.csv", "".join([*lines, lines[1]])), "line 8: track 1 has this keypoint in frame 0 twice"),
        (write("f.txt", "1,1,nan,0,5,5\n"), "f.txt: line 1: got '1,1,nan,0,5,5'"),
        (write("g.txt", "1 1 0 0 5 5\n"), "expected numbers with commas"),
        (write("h.txt", "1,1,0,0,5,5\n1,1,9,0,5,5\n"), "track 1 is in frame 0 twice"),
        (write("i.txt", "1.5,1,0,0,5,5\n"), "i.txt: got 0.5, expected whole numbers"),
        (write("j.txt", "0,1,0,0,5,5\n"), "j.txt: there is a frame 0, expected frames counted from 1"),
        (tmp_path / "twice.json", "track 3 is in frame 0 twice"),
        (tmp_path / "nobody.json", "annotation 1 has no track_id"),
        (tmp_path / "regions.json", "ignore_regions_x and _y of .* differ in length"),
        (write("list.json", "[]"), "not PoseTrack18's"),
    ):
        with pytest.raises(DataError, match=expected) as caught:
            read_tracks(path)
        assert "\n" not in str(caught.value)


def test_two_files_of_one_video(tmp_path):
    for name in ("walk.tracks.csv", "walk.txt"):
        (tmp_path / name).write_text(table_header() if name.endswith("csv") else "")
    with pytest.raises(DataError, match="the video walk is in another file too"):
        read_tracks(tmp_path)
