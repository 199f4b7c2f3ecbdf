"""What runs an exported model; needs neither Paddle's training side nor datasets."""
