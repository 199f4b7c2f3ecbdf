"""Finds the poses in images with a trained network, draws them and writes them as JSON."""

import argparse
from pathlib import Path

from ppose.options import add_box_options, add_config_options, add_gpu_option, add_pnp_option, choose_gpus


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_config_options(parser)
    add_gpu_option(parser)
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--infer_img", metavar="FILE", help="one image")
    images.add_argument("--infer_dir", metavar="DIR", help="folder of images")
    parser.add_argument(
        "--boxes",
        metavar="FILE",
        help="people: COCO annotations, or a JSON list of {image, bbox} (default: each image is one person)",
    )
    add_box_options(parser, "--boxes that have scores")
    parser.add_argument(
        "--output_dir",
        metavar="DIR",
        help="folder for pictures and keypoints.json (default: <save_dir>/<config>/vis)",
    )
    parser.add_argument(
        "--draw_threshold", type=float, default=0.2, help="lowest keypoint score drawn (default: %(default)s)"
    )
    add_pnp_option(parser)


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    choose_gpus(args.gpu)
    from ppose.engine.device import select_device
    from ppose.engine.load import load_trained
    from ppose.engine.network_runtime import network_predictor
    from ppose.engine.task import Task
    from ppose.image_files import list_images, read_boxes_and_sizes
    from ppose.inference.command import open_model
    from ppose.inference.pose_files import ImageFiles, check_output, write_poses
    from ppose.paths import show_name
    from ppose.workspace import load_config

    task = Task(load_config(args.config, args.overrides))
    select_device(task.settings.use_gpu)
    files = list_images(args.infer_dir) if args.infer_img is None else [Path(args.infer_img)]
    boxes = sizes = None
    if args.boxes is not None:
        who = {"classes": args.det_class, "threshold": args.det_threshold}
        boxes, sizes = read_boxes_and_sizes(args.boxes, files, **who)
    images = ImageFiles(files, boxes, sizes)
    folder = Path(args.output_dir or Path(task.settings.save_dir) / Path(args.config).stem / "vis")
    check_output(folder, files)
    predictor = network_predictor(task, load_trained(task))
    model = open_model(args.pnp, predictor)
    threshold = args.draw_threshold
    people = write_poses(images, predictor, folder, threshold=threshold, save_json=True, model=model)
    print(f"{people} people in {images.readable} images: pictures and keypoints.json in {show_name(folder)}")
    images.check()
