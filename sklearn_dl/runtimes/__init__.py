"""Bytes of models to something that runs: the loop over batches, and what is kept loaded."""
