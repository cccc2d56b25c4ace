"""`set_output` for steps whose output is not always a table."""


class OwnOutputMixin:
    """`set_output` that notes the container; the step wraps its tables by itself.

    For a class declared with ``auto_wrap_output_keys=None`` that calls
    `sklearn_dl.utils._sklearn.wrap_output`.
    """

    def set_output(self, *, transform=None):
        """Set the container of `transform`'s output, where it has a tabular form.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            None leaves the container as it is. An output that is no 2-D table is left alone.

        Returns
        -------
        self : object
        """
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}
        return self
