"""What is done beside the training loop, each a `Hook` of the trainer."""
