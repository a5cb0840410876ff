"""Sweeps that finish: every job composed and checked before the first starts, its state kept in a
file."""
