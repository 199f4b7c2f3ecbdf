"""Builds the package as pyproject.toml says, with the configs in it as `ppose/configs`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["ppose", "ppose.*"]), "ppose.configs"],
    package_dir={"ppose.configs": "configs"},
    package_data={
        "ppose.configs": ["*.yml", "_base_/*.yml"],
        "ppose.reports": ["page.html"],
        "ppose.serving": ["page/*"],
        "ppose.weights": ["models.yml"],
    },
)
