"""Reports on results and runs: their numbers, and pages that hold all they need."""
