"""Prints the size of a config's network: parameters, multiply-accumulates, GFLOPs as published."""

import argparse

from ppose.options import add_config_options


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_config_options(parser)


def main(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Run the command."""
    from ppose.engine.task import Task
    from ppose.models.counting import measure_size
    from ppose.workspace import load_config

    task = Task(load_config(args.config, args.overrides))
    size = measure_size(task.model(), task.codec.input_size)
    (width, height), heatmaps = task.codec.input_size, task.codec.heatmap_size
    print(
        f"{task.settings.architecture}: input {width}x{height} {task.settings.channel_order}, "
        f"{task.settings.num_joints} heatmaps {heatmaps[0]}x{heatmaps[1]}\n"
        f"parameters  {size.parameters:,}\n"
        f"MACs        {size.macs / 1e9:.3f} G\n"
        f"GFLOPs      {size.table_gflops:.2f} as the official tables count "
        "(transposed convolutions at output resolution, / 1024^3)"
    )
