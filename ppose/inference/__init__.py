"""From images to poses, with an exported model or any other runtime; needs neither Paddle nor datasets."""
