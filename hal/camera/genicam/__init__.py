"""Cameras of the GenICam standard, through the GenTL producer of their maker."""
