"""Sweeps: every job is composed and checked before the first one starts, and the state of every job
is kept in a file."""
