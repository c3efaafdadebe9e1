"""One named run on disk, and the Python interface to it."""
