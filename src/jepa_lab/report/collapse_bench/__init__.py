"""Scores rules that tell collapsed runs from healthy ones, on a table of labelled runs."""
