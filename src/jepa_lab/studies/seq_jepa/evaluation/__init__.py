"""Frozen evaluation: measures the information in a trained encoder's features, after training."""
