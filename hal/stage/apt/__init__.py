"""Thorlabs APT motion controllers: messages, axes and the stage driver."""
