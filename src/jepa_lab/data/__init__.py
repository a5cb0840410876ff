"""Images, views and sequences: sources, groups of views, and the batches that they make."""
