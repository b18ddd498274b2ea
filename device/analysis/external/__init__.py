"""Images from elsewhere."""
