"""Object detection: DetectionScorer applies pretrained detectors."""
