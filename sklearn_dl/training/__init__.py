"""How all estimators that train a network are fitted. Internal: there are no public names."""
