"""Training in several processes: collective operations, and batch norms over all ranks."""
