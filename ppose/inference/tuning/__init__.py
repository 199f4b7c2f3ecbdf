"""What runs a model fastest on this machine: measured, kept in the cache, and taken by `runtime="auto"`."""
