"""Checks and controls in the records."""
