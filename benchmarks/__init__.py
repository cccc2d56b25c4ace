"""Speed and memory as ratios against named rivals: ``python -m benchmarks [name ...]``."""
