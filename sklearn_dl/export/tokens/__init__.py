"""Tokenizers as graphs: from strings or bytes to token ids."""
