"""The UV light: lease, line, current of the LED, supervisor process."""
