"""The HTTP server behind `ppose serve`, and its web page."""
