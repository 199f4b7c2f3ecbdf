"""Reports on results and runs: their numbers, and self-contained pages."""
