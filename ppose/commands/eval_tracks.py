"""Evaluates tracks: MOTA, IDF1 and HOTA of people, PoseTrack's MOTA of keypoints."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ppose.reports.tracking import Similarity


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--annotations",
        type=Path,
        required=True,
        metavar="FILE_OR_DIR",
        help="ground truth: PoseTrack18's .json (one per video, or one for all), or MOTChallenge's gt.txt",
    )
    parser.add_argument(
        "--tracks",
        type=Path,
        required=True,
        metavar="FILE_OR_DIR",
        help="tracks to evaluate: per video NAME.tracks.csv or NAME.txt, as `ppose predict --save_tracks` "
        "writes them, or PoseTrack18's .json",
    )
    parser.add_argument(
        "--similarity",
        choices=["oks", "iou"],
        help="measure that matches people, at 0.5 or more (default: oks if both have keypoints, else iou)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.2,
        metavar="SCORE",
        help="keypoints with a lower score count as not found (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.files import check_writable, write_json
    from ppose.formats.track_folders import read_tracks
    from ppose.reports.tracking import evaluate_keypoints, evaluate_people, format_scores, pair_videos

    if args.json is not None:
        check_writable(args.json)
    truth, found = read_tracks(args.annotations), read_tracks(args.tracks)
    videos = pair_videos(truth, found, args.threshold)
    have_keypoints = all(video.truth.names and video.found.names for video in videos)
    similarity: Similarity = args.similarity or ("oks" if have_keypoints else "iou")
    people = evaluate_people(videos, similarity)
    keypoints = evaluate_keypoints(videos) if have_keypoints else None
    print(format_scores(len(videos), similarity, people, keypoints))
    if args.json is not None:
        write_json(args.json, {"people": people, "keypoints": keypoints})
