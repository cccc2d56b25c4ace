"""A network with its head: the part of a fitted estimator that predicts."""

from typing import NamedTuple

from sklearn_dl.training._fitted_network import FittedNetwork
from sklearn_dl.training._head import LinearHead
from sklearn_dl.training._rows import read_in_chunks


class Predictor(NamedTuple):
    """A network and, if only a head was fitted, that head.

    Attributes
    ----------
    network : FittedNetwork
    head : LinearHead or None
        The head that was fitted to the features of the network. None: the network's own head is
        used, if it has one.
    """

    network: FittedNetwork
    head: LinearHead | None = None

    @property
    def is_trained(self):
        """Whether the network was trained, and no head was fitted to its features after that."""
        return self.head is None and self.network.is_trained

    def linear_head(self, where):
        """The head as a LinearHead; None: the network's features are its outputs."""
        return self.network.linear_head(where) if self.head is None else self.head

    def features(self, rows, where):
        """The features that the network computes for rows, as a Read."""
        return self.network.features(rows, where)

    def outputs(self, rows, where):
        """The outputs of the head for rows.

        Parameters
        ----------
        rows : Rows
        where : Where

        Returns
        -------
        read : Read
            Its values are float64, of shape (n_rows, n_outputs), or a Ragged if the network gives
            outputs for each word or token of a row.

        Raises
        ------
        RowError
            If a row cannot be read or the network gives NaN or infinity for it, unless
            ``rows.skips`` is True.
        """
        where = self.network.resolved(where)
        head = self.linear_head(where)
        return read_in_chunks(rows, lambda some: self.network.outputs(head, some, where))

    def for_pickle(self, embed_model):
        """A copy for a pickle, without a live network; `embed_model` as in the estimators."""
        return Predictor(self.network.for_pickle(embed_model), self.head)
