"""Calibration: what is measured once and used by every run, step by step."""
