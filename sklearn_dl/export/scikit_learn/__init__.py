"""Converters of scikit-learn's estimators."""
