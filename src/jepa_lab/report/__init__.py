"""What a run looked like: figures, the final table, one HTML page. Reads metrics, never models."""
