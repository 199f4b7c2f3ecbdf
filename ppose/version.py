"""The version of ppose, in a module without imports."""

VERSION = "1.0.0"
