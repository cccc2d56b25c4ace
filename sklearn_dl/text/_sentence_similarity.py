"""The estimator that predicts the similarity of two texts."""

from numbers import Integral, Real

from scipy.stats import loguniform
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_dl.text._cosines import Cosines, Similarities
from sklearn_dl.text._fitted_text_network import unit_rows
from sklearn_dl.text._text_estimator import TextEstimator
from sklearn_dl.text._text_rows import text_rows
from sklearn_dl.training._estimator import fit_method
from sklearn_dl.training._fit import positive_weights
from sklearn_dl.training._fitted import Fitted
from sklearn_dl.training._network_regressor import PartialFitRegressorMixin
from sklearn_dl.training._predictor import Predictor
from sklearn_dl.training._search_space import Searched
from sklearn_dl.utils._messages import names_labels, naming_labels
from sklearn_dl.utils._sklearn import Interval, StrOptions


def _compares_embeddings(estimator):
    if not estimator._reads_together():
        return True
    raise AttributeError(
        "A cross-encoder reads both texts together: it has no embeddings of single texts. Set "
        'architecture="bi-encoder" to use `embed`.'
    )


class SentenceSimilarityRegressor(PartialFitRegressorMixin, TextEstimator):
    """Predict the similarity of two texts by fine-tuning a pretrained encoder.

    Parameters
    ----------
    model : str or Path, default="all-minilm-l6-v2"
        The pretrained model: a name from :func:`sklearn_dl.models.list_models`, or a path. The path
        leads to a folder with ``config.json``, the tokenizer's files and ``model.safetensors``: a
        text encoder that transformers' AutoModel can load. Other formats of weights are refused,
        and so is code in the folder. A repository in the Hugging Face cache can be given by its
        name ("owner/name").
    architecture : {"bi-encoder", "cross-encoder"}, default="bi-encoder"
        How the two texts are compared. "bi-encoder": by the cosine of their embeddings (`embed`),
        which is scaled to the units of `y`. "cross-encoder": both texts are read together. This
        needs more pairs to learn from (thousands), and a pass through the network for each pair.
    max_length : int, default=128
        Largest number of tokens that are read at once, special tokens included. One warning
        states how many texts are longer. If the two texts of a pair are read together, the limit
        applies to both together.
    trainable_layers : "all" or int, default="all"
        Which part of the pretrained network is trained: "all" of it, a number of its last layers,
        or none (0). With 0, only the scaling of a bi-encoder is fitted; for a cross-encoder,
        :class:`~sklearn.linear_model.Ridge` is fitted to u, v, abs(u - v) and u * v, where u and v
        are the embeddings of the two texts.
    max_epochs : int, default=3
        Number of passes over the training rows. With 0, the network of a bi-encoder is not trained:
        `predict` scales the cosine to `y`, or returns the cosine itself if `fit` got no `y`. A
        cross-encoder accepts 0 only with ``trainable_layers=0``.
    batch_size : int, default=16
        Number of rows in a batch. Training batches contain rows of similar length.
    learning_rate : float or "auto", default="auto"
        Highest learning rate of AdamW. "auto" is 1e-5 for a bi-encoder and 2e-4 for a
        cross-encoder. The embeddings of a bi-encoder are good already, and a high rate would make
        them worse for texts of other domains.
    weight_decay : float, default=0.01
        Weight decay of AdamW. It applies to weight matrices and convolution filters, not to biases
        and normalisation layers.
    warmup_ratio : float, default=0.06
        Share of the training steps during which the learning rate rises linearly. Afterwards, it
        falls to 0.
    max_grad_norm : float or None, default=1.0
        Largest norm of the gradient. A gradient with a larger norm is scaled down to this norm.
        None: gradients are not scaled.
    early_stopping : bool, default=False
        Whether to hold out validation rows, and to stop when the score on them no longer improves.
        The weights of the epoch with the best score are kept (among equal scores, those with the
        lowest loss).
    scoring : str, callable or None, default=None
        Score that early stopping watches: a name from :func:`sklearn.metrics.get_scorer_names`, or
        a callable ``scorer(estimator, X, y)``. The callable gets the validation rows as they were
        passed to `fit`. None: the estimator's own `score` method.
    validation_fraction : float or int, default=0.1
        Share (float) or number (int) of the rows that early stopping holds out, if `fit` gets no
        `X_val`.
    n_iter_no_change : int, default=3
        Training stops when the score has not improved by more than `tol` for this number of epochs
        in a row.
    tol : float, default=1e-4
        An epoch counts as an improvement only if its score exceeds the best score so far by more
        than `tol`.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of matrix products. "auto" is bfloat16 on hardware that supports it (CPUs with
        avx512_bf16 or AMX, most GPUs), and float32 elsewhere. The results for a text depend
        slightly on the other texts in the same call: they can change by up to 1e-2 in bfloat16, and
        by 1e-6 in float32.
    device : str, default="auto"
        Device to compute on. "auto" is a GPU if there is one, else the CPU. It prefers "cuda" to
        "mps", and is chosen again where a pickle is loaded. Any other value is the name of a torch
        device, such as "cuda:1".
    n_threads : int or None, default=None
        Number of threads that may be busy at once. None: the number of CPUs that this process may
        use, but at most ``OMP_NUM_THREADS``; inside a joblib worker, its share of them. It is also
        at most ``torch.get_num_threads()``.
    memory : str, Path, joblib.Memory or None, default=None
        Folder in which the features of rows are kept, so that the folds of a cross-validation and
        the candidates of a grid search compute them once. Rows are looked up by their content. Only
        features of the pretrained network are kept, not those of a fine-tuned one. A file in this
        folder holds up to 2 GiB; the oldest features are deleted first. If the file is damaged,
        locked or cannot be written, one warning says so, and the features are computed.
    checkpoint_dir : str or Path, default=None
        Folder in which the state of a fit is saved, after each epoch and once a minute. A fit that
        was killed resumes from there when it is run again, and ends with the same weights. The
        checkpoint is removed when the fit has finished.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last `fit`.
    embed_model : bool or "auto", default="auto"
        Whether a pickle contains the pretrained weights. "auto": only if `model` is not the name of
        a built-in or pinned model, and no fit has trained the network. Where the pickle of a
        trained network is loaded, `model` must be found only to call `fit` again. True: always.
        False: never, and `model` must be found where the pickle is loaded if any of its weights are
        needed. Every pickle contains the trained weights.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be read. "raise": raise an error that names the row.
        "nan": leave the row out of `fit`, and predict missing values for it; one warning states how
        many rows these are. A row for which the network gives NaN or infinity is treated in the
        same way.
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of validation rows, the order of the batches and dropout. The same int
        gives the same results, bit for bit, on the same machine with the same number of threads.
        None: a new seed for each fit, which is not drawn from numpy's global generator; with a
        `checkpoint_dir`, it is derived from the data.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: progress bars, and a line after each epoch.

    Attributes
    ----------
    slope_, intercept_ : float
        A prediction is ``slope_ * raw + intercept_``, where raw is the cosine of a bi-encoder or
        the output of a cross-encoder.
    history_ : dict of list
        The keys are ``epoch``, ``train_loss``, ``learning_rate`` (at the end of the epoch),
        ``seconds``, ``examples_per_second`` and, with early stopping, ``validation_loss`` and
        ``validation_score``; each list has one value per epoch. Empty if the network was not
        trained.
    best_epoch_ : int
        Number of the epoch whose weights are kept, counted from 1; 0 if the network was not
        trained.
    device_ : str
        Torch device that predictions are computed on.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X is a frame.

    See Also
    --------
    TextClassifier : Predicts classes for texts, or for pairs of texts.
    TextRegressor : Predicts numbers for texts, or for pairs of texts.
    TextEncoder : Embeddings of a pretrained encoder.

    Notes
    -----
    The counterpart in ML.NET is SentenceSimilarity, which is a cross-encoder. A bi-encoder is
    trained to minimise the squared error between its cosine and the scaled targets [1]_. A
    cross-encoder is trained on the squared error of standardised targets.

    References
    ----------
    .. [1] Reimers and Gurevych, Sentence-BERT, 2019.

    Examples
    --------
    >>> from sklearn_dl import SentenceSimilarityRegressor
    >>> X = [("a cat", "a kitten"), ("a cat", "a car"), ("the sun", "a star"), ("the sun", "soup")]
    >>> y = [4.5, 0.5, 3.5, 0]
    >>> model = SentenceSimilarityRegressor(max_epochs=0).fit(X, y)
    >>> close, far = model.predict([("a dog", "a puppy"), ("a dog", "a stone")])
    >>> bool(close > far)
    True

    Without `y`, a prediction is the cosine itself:

    >>> cosine = SentenceSimilarityRegressor(max_epochs=0).fit(X)
    >>> cosine.predict([("the same", "the same")]).round(2)
    array([1.])
    """

    _parameter_constraints: dict = {
        **TextEstimator._parameter_constraints,
        "architecture": [StrOptions({"bi-encoder", "cross-encoder"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
    }
    # a bi-encoder's embeddings are good already: higher rates spoil them for texts of other domains
    _searched_if_bi_encoder = {
        **TextEstimator._searched_if_trained,
        "learning_rate": Searched(loguniform(2e-6, 5e-5), loguniform(1e-6, 2e-4)),
    }
    _allowed_columns = {2}
    _problem: Similarities

    def __init__(
        self,
        model="all-minilm-l6-v2",
        *,
        architecture="bi-encoder",
        max_length=128,
        trainable_layers="all",
        max_epochs=3,
        batch_size=16,
        learning_rate="auto",
        weight_decay=0.01,
        warmup_ratio=0.06,
        max_grad_norm=1.0,
        early_stopping=False,
        scoring=None,
        validation_fraction=0.1,
        n_iter_no_change=3,
        tol=1e-4,
        precision="auto",
        device="auto",
        n_threads=None,
        memory=None,
        checkpoint_dir=None,
        warm_start=False,
        embed_model="auto",
        on_error="raise",
        random_state=None,
        verbose=0,
    ):
        self._store(locals())

    @fit_method
    def fit(self, X, y=None, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit to pairs of texts and their similarities.

        Parameters
        ----------
        X : array-like of shape (n_samples, 2)
            Pairs of texts.
        y : array-like of shape (n_samples,), default=None
            The similarity of each pair. It may be None for a bi-encoder that is not trained
            (``max_epochs=0`` or ``trainable_layers=0``): then `predict` returns the cosine itself.
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight 2 counts in the loss like two rows. Rows of weight 0 are left out.
        X_val, y_val : array-like, default=None
            Rows for early stopping, instead of a `validation_fraction` of X.
        sample_weight_val : array-like of shape (n_val_samples,), default=None
            Weights of the rows of `X_val`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a cell is not text, a target is missing, `y` is None although it is needed, the model
            is not a text encoder, a checkpoint belongs to another fit, or the loss is no longer
            finite. The estimator is left as it was.
        FileNotFoundError
            If `model` is neither a folder nor a registered model.
        ImportError
            If torch or transformers is not installed.
        """
        if y is not None:
            return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)
        self._validate_params()
        if self._trains() or self.architecture != "bi-encoder":
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Only "
                'the cosine of a pretrained encoder does not need y: set architecture="bi-encoder" '
                "and max_epochs=0."
            )
        if X_val is not None or y_val is not None or sample_weight_val is not None:
            raise ValueError("X_val and y_val are used only with early_stopping=True and with y.")
        with naming_labels(X):
            rows = self._rows(X, reset=True, learns=True)
            positive_weights(sample_weight, len(rows))
            self._note_content()
            content = self._content()
            network = self._network_to_start(content, self._earlier(content))
            # raise an error now if the model is not a text encoder
            network.features(rows.take(slice(1)), self._where())
        self.__dict__.update(Fitted(Predictor(network), Cosines(), []).attributes())
        return self

    @names_labels
    def predict(self, X):
        """Predict the similarity of each pair.

        Parameters
        ----------
        X : array-like of shape (n_samples, 2)
            Pairs of texts.

        Returns
        -------
        similarities : float64 ndarray of shape (n_samples,)
            In the units of `y`. They can lie outside the range of `y`.
        """
        outputs = self._outputs(self._rows_to_predict(X))[:, 0]
        return self.slope_ * outputs + self.intercept_

    @available_if(_compares_embeddings)
    @names_labels
    def embed(self, X):
        """Compute the embeddings of single texts, to index or to compare.

        Parameters
        ----------
        X : array-like of shape (n_samples,)
            One column of texts.

        Returns
        -------
        embeddings : float32 ndarray of shape (n_samples, hidden_size)
            They have length 1. The dot product of two embeddings is the cosine that `predict`
            scales.
        """
        check_is_fitted(self)
        rows = text_rows(X, self, {1}, reset=None)
        with self._where().progress(len(rows), "embeddings") as where:
            read = self._network.embeddings(rows, where)
        rows.warn(read)
        return unit_rows(read.values)

    def _reads_together(self):
        """Whether the fitted network is a cross-encoder; before a fit, whether it will be one."""
        if self._was_fitted:
            return self._network.reading != "cosine"
        return self.architecture == "cross-encoder"

    def _reading(self):
        return "cosine" if self.architecture == "bi-encoder" else super()._reading()

    def _trains(self):
        return self.trainable_layers != 0 and self.max_epochs > 0

    def _searched(self):
        if self.architecture == "cross-encoder":
            return super()._searched()
        return self._searched_if_bi_encoder if self._trains() else {}

    def _new_problem(self, y):
        if self.architecture == "bi-encoder":
            return Cosines()
        if self.trainable_layers != 0 and not self.max_epochs:
            raise ValueError(
                'max_epochs=0 only scales the cosine of a "bi-encoder", but a cross-encoder has no '
                "cosine to scale: set max_epochs to at least 1, or set trainable_layers=0."
            )
        return Similarities()
