"""Recorded conversations of stage controllers, for leading a driver through them."""
