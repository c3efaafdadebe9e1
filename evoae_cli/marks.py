"""Files by which a folder is known for what it is, for all floors."""

STUDY = "study.db"
"""Lies in every study."""
