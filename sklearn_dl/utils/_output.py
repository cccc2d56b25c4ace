"""`set_output` for steps whose output is not always a table."""


class OwnOutputMixin:
    """`set_output` that only stores the container; the step wraps its tables by itself.

    A subclass passes ``auto_wrap_output_keys=None`` in its class statement, and calls
    `sklearn_dl.utils._sklearn.wrap_output`.
    """

    def set_output(self, *, transform=None):
        """Set the container of `transform`'s output, for output that is a table.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            None does not change the container. Output that is not a 2-D table is not wrapped.

        Returns
        -------
        self : object
        """
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}
        return self
