"""Frozen evaluation: what a trained encoder's features hold, measured after training."""
