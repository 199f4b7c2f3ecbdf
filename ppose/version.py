"""The version of ppose, for who cannot import all of it."""

VERSION = "1.0.0"
