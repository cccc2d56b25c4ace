"""The one fit loop of the package's trainable networks: internal, without public names."""
