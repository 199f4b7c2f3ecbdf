"""Tracks people through a video, and finishes whole tracks."""

from ppose.inference.tracking.finishing import Finish, Found, Smoothing, finish_tracks
from ppose.inference.tracking.tracker import Similarity, Tracker

__all__ = ["Finish", "Found", "Similarity", "Smoothing", "Tracker", "finish_tracks"]
