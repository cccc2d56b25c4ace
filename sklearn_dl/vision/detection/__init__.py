"""Object detection: ObjectDetector is trained, DetectionScorer applies a pretrained detector."""
