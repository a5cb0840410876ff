"""ARC: tasks and their grids, synthetic ones, augmentation, tokenisers, examples and batches."""
