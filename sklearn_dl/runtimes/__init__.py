"""Open models and run them: the loop over batches, and the cache of loaded models."""
