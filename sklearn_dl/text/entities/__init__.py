"""Find entities in texts: a tag for each word."""
