"""Poses over HTTP: the server behind `ppose serve`, and its page."""
