"""Training in several processes: what they tell each other, and batch norms over all of them."""
