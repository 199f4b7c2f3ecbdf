"""The name of `TestDataset` in configs."""

from ppose.workspace import register


@register(ignored=("anno_path", "dataset_dir", "image_dir"))
class ImageFolder:
    """Placeholder for the images and boxes that a command gets."""
