"""TensorFlow's graphs and SavedModels."""
