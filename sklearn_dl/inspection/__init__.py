"""Looking at results, in the style of scikit-learn's Displays."""

from sklearn_dl.inspection._image_grid import ImageGridDisplay

__all__ = ["ImageGridDisplay"]
