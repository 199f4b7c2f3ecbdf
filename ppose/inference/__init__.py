"""Finds poses in images by an exported model or any other runtime; needs neither Paddle nor datasets."""
