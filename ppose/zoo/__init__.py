"""Published models by name: fetched, exported once, and carried to machines without a network."""

# Those of `ppose predict photo.jpg`.
DEFAULT_POSE, DEFAULT_DETECTOR = "tinypose_256x192", "picodet_s_192_lcnet_pedestrian"
NO_DETECTOR = "none"  # what says that a picture is one person
