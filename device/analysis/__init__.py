"""From a tile to counted cells: flat field, quality, candidates, cells, one count per cell."""
