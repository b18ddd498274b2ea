"""From the smear to counts: imaging, sensor, camera."""
