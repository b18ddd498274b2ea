"""The front panel: button, lamp, buzzer, lid switch."""
