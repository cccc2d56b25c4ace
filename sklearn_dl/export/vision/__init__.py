"""Converters of image steps and estimators: colours, resizing, pixels, detectors, classifiers."""
