"""ARC tasks and their grids: reading, synthetic tasks, augmentation, tokenisers, examples,
batches."""
