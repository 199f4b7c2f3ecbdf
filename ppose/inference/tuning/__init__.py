"""Measures what runs a model fastest on this machine; `runtime="auto"` then uses the cached result."""
