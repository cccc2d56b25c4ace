"""Benchmarks of speed, memory and quality against named rivals: ``python -m benchmarks [name]``."""
