"""Drivers of the camera."""
