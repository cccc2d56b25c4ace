"""The transformer that turns texts into embeddings."""

import os
from numbers import Integral

from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from sklearn_dl.models._estimator import EMBED_MODEL, ModelEstimator
from sklearn_dl.models._folder import find_folder
from sklearn_dl.runtimes.torch._device import Where, import_torch
from sklearn_dl.text._fitted_text_network import FittedTextNetwork
from sklearn_dl.text._scoring import check_max_length
from sklearn_dl.text._text_rows import LONG_TEXTS_CONSTRAINTS, text_rows
from sklearn_dl.text._texts import text_columns
from sklearn_dl.text._windows import check_windows
from sklearn_dl.training._feature_store import memory_location
from sklearn_dl.utils._base import all_or_nothing
from sklearn_dl.utils._messages import names_labels
from sklearn_dl.utils._optional import needed_by
from sklearn_dl.utils._sklearn import HasMethods, Interval, StrOptions


class TextEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ModelEstimator):
    """Turn texts into embeddings of a pretrained encoder.

    It learns nothing: `transform` does not need `fit`.

    Parameters
    ----------
    model : str or Path, default="all-minilm-l6-v2"
        The pretrained model: a name from :func:`sklearn_dl.models.list_models`, or a path. The path
        leads to a folder with ``config.json``, the tokenizer's files and ``model.safetensors``: a
        text encoder that transformers' AutoModel can load. Other formats of weights are refused,
        and so is code in the folder. A repository in the Hugging Face cache can be given by its
        name ("owner/name").
    max_length : int, default=128
        Largest number of tokens that are read at once, special tokens included. One warning
        states how many texts are longer.
    long_texts : {"truncate", "windows"}, default="truncate"
        How a text with more than `max_length` tokens is read. "truncate": only its beginning is
        read. "windows": the whole text is read, in windows of `max_length` tokens, which share
        `window_overlap` tokens with their neighbours. The embedding of the text is the mean of
        those of its windows, weighted by their numbers of tokens.
    window_overlap : int, default=32
        Number of tokens that neighbouring windows of a long text share.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of matrix products. "auto" is bfloat16 on hardware that supports it (CPUs with
        avx512_bf16 or AMX, most GPUs), and float32 elsewhere. The embedding of a text depends
        slightly on the other texts in the same call: it can change by about 1e-3 in bfloat16, and
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
    embed_model : bool or "auto", default="auto"
        Whether a pickle contains the pretrained weights. "auto": only if `model` is not the name of
        a built-in or pinned model, which is found by its name where the pickle is loaded. True:
        always. False: never, and `model` must be found where the pickle is loaded.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be read. "raise": raise an error that names the row.
        "nan": its embedding is NaN; one warning states how many rows these are. A row for which the
        network gives NaN or infinity is treated in the same way.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: a progress bar.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns of X: 1.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column, if X is a frame.

    See Also
    --------
    TextClassifier : Fine-tunes the encoder; its `embed` also computes embeddings.
    SentenceSimilarityRegressor : Embeddings that are fine-tuned for comparing texts.

    Notes
    -----
    The embeddings are the same as those of sentence-transformers: pooling and scaling to unit
    length follow ``modules.json`` in the folder. Without this file, an embedding is the mean over
    the tokens, and is not scaled. With ``long_texts="windows"``, an embedding is scaled after the
    mean over the windows.

    Examples
    --------
    >>> from sklearn_dl import TextEncoder
    >>> embeddings = TextEncoder().transform(["a guitar", "an instrument", "a tomato"])
    >>> embeddings.shape
    (3, 384)
    >>> bool(embeddings[0] @ embeddings[1] > embeddings[0] @ embeddings[2])
    True
    """

    _extra = "text"
    _parameter_constraints: dict = {
        "model": [str, os.PathLike],
        "max_length": [Interval(Integral, 1, None, closed="left")],
        **LONG_TEXTS_CONSTRAINTS,
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "device": [str],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "memory": [str, os.PathLike, HasMethods("cache"), None],
        "embed_model": EMBED_MODEL,
        "on_error": [StrOptions({"raise", "nan"})],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model="all-minilm-l6-v2",
        *,
        max_length=128,
        long_texts="truncate",
        window_overlap=32,
        precision="auto",
        device="auto",
        n_threads=None,
        memory=None,
        embed_model="auto",
        on_error="raise",
        verbose=0,
    ):
        self.model = model
        self.max_length = max_length
        self.long_texts = long_texts
        self.window_overlap = window_overlap
        self.precision = precision
        self.device = device
        self.n_threads = n_threads
        self.memory = memory
        self.embed_model = embed_model
        self.on_error = on_error
        self.verbose = verbose

    @all_or_nothing
    @names_labels
    def fit(self, X, y=None):
        """Check the parameters and X, and store the name of its column.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Texts.
        y : None
            Ignored.

        Returns
        -------
        self : TextEncoder

        Raises
        ------
        ValueError
            If a cell is not text, or the model's tokenizer cannot read texts in windows although
            ``long_texts="windows"`` asks for it.
        """
        self._validate_params()
        text_columns(X, self, {1}, reset=True, on_error=self.on_error)
        self._note_content()
        if self.long_texts == "windows":
            import_torch(type(self).__name__, self._extra)
            with needed_by(self):
                check_windows(self._network().tokenizer(self.max_length), self.window_overlap)
        return self

    @names_labels
    def transform(self, X):
        """Compute the embeddings of texts.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Texts.

        Returns
        -------
        embeddings : float32 ndarray of shape (n_samples, width)
            NaN for rows that cannot be read (``on_error="nan"``), with one warning.

        Raises
        ------
        ValueError
            If a cell is not text, or the model is not a text encoder.
        FileNotFoundError
            If `model` is neither a folder nor a registered model.
        ImportError
            If torch or transformers is not installed.
        """
        self._validate_params()
        rows = text_rows(X, self, {1}, reset=False)
        with needed_by(self), self._where().progress(len(rows), "embeddings") as where:
            read = self._network().embeddings(rows, where, "embed")
        rows.warn(read)
        return read.values

    def _network(self):
        return FittedTextNetwork(self.model, self._content())

    def _where(self):
        return Where(
            self.device,
            self.precision,
            type(self).__name__,
            self._extra,
            memory=memory_location(self.memory),
            n_threads=self.n_threads,
            verbose=self.verbose,
        )

    def _find_content(self):
        return find_folder(self.model)

    @property
    def _n_features_out(self):
        where = self._where().resolved()
        network = self._network().on(where.device, where.precision)
        check_max_length(network, self.max_length, self.model)
        return network.width

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = self.on_error == "nan"
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit = False
        return tags
