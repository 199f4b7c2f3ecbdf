"""Published models by name: downloads and exports them once, packs them for machines without a network."""

# The models of `ppose predict photo.jpg`.
DEFAULT_POSE, DEFAULT_DETECTOR = "tinypose_256x192", "picodet_s_192_lcnet_pedestrian"
NO_DETECTOR = "none"  # means that an image is one person
