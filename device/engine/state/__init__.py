"""What the engine works with: states, snapshot, requests, front panel, services."""
