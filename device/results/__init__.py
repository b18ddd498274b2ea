"""Results: cells and the differential."""
