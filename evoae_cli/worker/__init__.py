"""Processes that lease, evaluate and report."""
