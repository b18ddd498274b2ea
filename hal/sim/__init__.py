"""The virtual instrument: physics with ground truth under the real drivers."""
