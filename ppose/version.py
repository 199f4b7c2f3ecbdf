"""The version of ppose, for who cannot import all of it."""

VERSION = "0.1.0"
