"""Reads files that others made, within limits: text, YAML, JSON, arrays, images and tables.

A file beyond a limit raises OverLimit, whose text is the reason without the name of the file."""
