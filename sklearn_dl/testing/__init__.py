"""Checks that an estimator that takes texts, images or other rows keeps scikit-learn's rules."""

from sklearn_dl.testing._parametrize import (
    parametrize_with_image_checks,
    parametrize_with_row_checks,
    parametrize_with_text_checks,
)

__all__ = [
    "parametrize_with_image_checks",
    "parametrize_with_row_checks",
    "parametrize_with_text_checks",
]
