"""The tiles of a run stitched to one image, drawn piece by piece from the tiles that are kept."""
