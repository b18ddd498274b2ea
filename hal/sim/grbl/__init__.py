"""A GRBL controller and its stage, byte by byte."""
