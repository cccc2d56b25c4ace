"""The values of parameters that a search tries."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from scipy.stats import loguniform

from sklearn_dl.utils._sklearn import StrOptions, validate_parameter_constraints

_CONSTRAINTS: dict = {"size": [StrOptions({"small", "large"})], "prefix": [str]}


class Searched(NamedTuple):
    """The values of one parameter that a search tries: a scipy distribution or a list.

    Attributes
    ----------
    small, large : distribution, list or None
        The values in the small and in the large space. None: the space leaves the parameter as it
        is.
    """

    small: Any
    large: Any


# the regularisation of a linear head; for the head that fine-tuning starts from, it is searched
# only in `large`
C_OF_HEAD = {"C": Searched(loguniform(1e-2, 1e2), loguniform(1e-4, 1e4))}
C_OF_INITIAL_HEAD = {"C": Searched(None, loguniform(1e-2, 1e2))}


class SearchSpaceMixin:
    """The method `search_space` of a TrainedEstimator.

    A subclass declares the parameters to search over if its network is trained, and if it is
    frozen.
    """

    _searched_if_trained: Mapping[str, Searched] = {}
    _searched_if_frozen: Mapping[str, Searched] = {}
    trainable_layers: Any

    def _searched(self) -> Mapping[str, Searched]:
        """The parameters to search over, given the current parameters of the estimator."""
        if self.trainable_layers == 0:
            return self._searched_if_frozen
        return self._searched_if_trained

    def search_space(self, size="small", *, prefix=""):
        """Values of the parameters that are worth searching over.

        They are the `param_distributions` of :class:`~sklearn.model_selection.RandomizedSearchCV`
        and :class:`~sklearn.model_selection.HalvingRandomSearchCV`. No `fit` is needed.

        If the pretrained network is trained, the small space has the learning rate, the number of
        epochs and the batch size. The large space has wider ranges of them, and further parameters
        of the training. If it is not trained (``trainable_layers=0``), the spaces have the
        parameters of the head. An estimator whose head has no such parameters returns an empty
        dict.

        Parameters
        ----------
        size : {"small", "large"}, default="small"
            "small": two or three parameters, or one of the head; 10 to 20 candidates are enough. A
            candidate takes at most about twice as long as the default parameters. "large": more
            parameters, in wider ranges, for 50 candidates or more. Some of these candidates take
            several times as long, because they have more epochs or random views of images.
        prefix : str, default=""
            Put before each name. For a step of a pipeline, the name of the step and two
            underscores.

        Returns
        -------
        space : dict of str to list or scipy distribution
            Ordinary Python objects, new in each call: delete or replace what you want to keep as
            it is.

        Raises
        ------
        ValueError
            If `size` is neither "small" nor "large", or `prefix` is not a string.

        Notes
        -----
        Parameters that say what the estimator reads and where it computes are not searched:
        `model`, `max_length`, `image_size`, `device`, `precision`, `memory` and the like. If the
        network is not trained, set `memory`: all candidates then share its features.

        The small space of text estimators is the grid with which BERT was fine-tuned [1]_: 2, 3 or
        4 epochs and batches of 16 or 32 rows. But its learning rates go up to 5e-4, because smaller
        encoders are fine-tuned with higher ones [2]_. The large space also has the 10 epochs and
        the weight decay of 0.1 of RoBERTa [3]_. The learning rates of bi-encoders lie around that
        of Sentence-BERT [4]_. Those of image networks lie around the defaults, and reach down to
        3e-5.
        `C` is searched over a part of the range that was searched for CLIP's features [5]_.

        The large space trains up to 3 of the last layers, or all of them. Replace the list if the
        network has fewer layers.

        References
        ----------
        .. [1] Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language
           Understanding, 2019, appendix A.3.
        .. [2] Clark et al., ELECTRA: Pre-training Text Encoders as Discriminators Rather Than
           Generators, 2020.
        .. [3] Liu et al., RoBERTa: A Robustly Optimized BERT Pretraining Approach, 2019.
        .. [4] Reimers and Gurevych, Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks,
           2019.
        .. [5] Radford et al., Learning Transferable Visual Models From Natural Language
           Supervision, 2021.

        Examples
        --------
        >>> from sklearn.model_selection import RandomizedSearchCV
        >>> from sklearn_dl import TextClassifier
        >>> space = TextClassifier().search_space()
        >>> space["max_epochs"], space["batch_size"]
        ([2, 3, 4], [16, 32])
        >>> print(*space["learning_rate"].support())
        2e-05 0.0005

        >>> X = ["a fine film", "dull and slow", "simply great", "what a bore"] * 5
        >>> y = ["good", "bad", "good", "bad"] * 5
        >>> clf = TextClassifier(trainable_layers=0)
        >>> search = RandomizedSearchCV(clf, clf.search_space(), n_iter=3, cv=2, random_state=0)
        >>> sorted(search.fit(X, y).best_params_)
        ['C']
        """
        arguments = {"size": size, "prefix": prefix}
        validate_parameter_constraints(_CONSTRAINTS, arguments, caller_name="search_space")
        found = {name: getattr(searched, size) for name, searched in self._searched().items()}
        return {
            f"{prefix}{n}": deepcopy(values) for n, values in found.items() if values is not None
        }
