"""Object detection: ObjectDetector learns it, DetectionScorer applies a pretrained detector."""
