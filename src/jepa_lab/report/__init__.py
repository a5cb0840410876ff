"""What a run looked like, and several beside each other: figures, tables, one HTML page. Reads
files, never models."""
