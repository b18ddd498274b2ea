"""From the plan to tiles: where, focus, light and camera."""
