"""Finds poses in more images than one process or machine can handle; writes them as parts of a table."""
