"""Translates commands and experiment files of other pose codes to those of ppose."""

from ppose.translate.command import translate_command
from ppose.translate.experiment import translate_experiment

__all__ = ["translate_command", "translate_experiment"]
