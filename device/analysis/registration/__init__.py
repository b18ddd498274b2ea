"""Where overlapping tiles really lie: pairwise shifts, and the positions that fit them all."""
