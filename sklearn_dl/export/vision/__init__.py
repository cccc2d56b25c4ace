"""Images as graphs: resizing, colours, pixels, detectors and image estimators."""
