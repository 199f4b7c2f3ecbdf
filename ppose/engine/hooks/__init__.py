"""Work beside the training loop; each part is a `Hook` of the trainer."""
