"""Drivers of the stage, and the guard that every move passes."""
