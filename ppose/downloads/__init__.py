"""Datasets from their publishers: downloads that go on where they broke off, archives unpacked with care."""
