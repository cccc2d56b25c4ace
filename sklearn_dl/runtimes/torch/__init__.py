"""Torch: devices, precision and threads."""
