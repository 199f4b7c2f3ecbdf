"""The RayJob and its image: what they name is there. Running them needs a cluster."""

import argparse
import re
import shlex
from pathlib import Path

import yaml

from ppose.commands import batch

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "deploy" / "ray"
JOB = yaml.safe_load((FOLDER / "rayjob.yaml").read_text())
DOCKERFILE = (FOLDER / "Dockerfile").read_text()


def test_the_job_runs_a_command_that_there_is():
    assert (JOB["apiVersion"], JOB["kind"]) == ("ray.io/v1", "RayJob")
    program, command, *options = shlex.split(JOB["spec"]["entrypoint"])
    assert (program, command) == ("ppose", "batch")
    parser = argparse.ArgumentParser()
    batch.add_options(parser)
    args = parser.parse_args(options)
    assert args.address == "auto"
    (workers,) = JOB["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (node,) = workers["template"]["spec"]["containers"]
    cores = int(node["resources"]["requests"]["cpu"]) * workers["maxReplicas"]
    assert args.concurrency * args.num_cpus <= cores


def test_all_nodes_have_one_image_and_its_ray():
    cluster = JOB["spec"]["rayClusterSpec"]
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    nodes = [node for pod in pods for node in pod["template"]["spec"]["containers"]]
    assert len({node["image"] for node in nodes}) == 1
    assert all({"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in node["env"] for node in nodes)
    assert f"rayproject/ray:{cluster['rayVersion']}-" in DOCKERFILE
    (extras,) = re.findall(r"\.\[(.*)\]", DOCKERFILE)
    assert all((ROOT / f"requirements-{extra}.txt").exists() for extra in extras.split(","))


def test_the_context_is_that_of_the_server_image():
    server = ROOT / "deploy" / "docker" / "Dockerfile.dockerignore"
    assert (FOLDER / "Dockerfile.dockerignore").read_text() == server.read_text()
