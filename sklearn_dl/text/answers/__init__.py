"""Find the answers to questions in texts: a span of each text."""
