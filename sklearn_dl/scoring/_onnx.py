"""OnnxScorer: a pretrained ONNX graph as a scikit-learn transformer."""

import os
from contextlib import contextmanager
from numbers import Integral

from sklearn.base import TransformerMixin
from sklearn.exceptions import NotFittedError

from sklearn_dl.images import PixelArray
from sklearn_dl.images._pixel_array import warn_of_failed_rows
from sklearn_dl.scoring import _onnx_graph, _onnx_model
from sklearn_dl.scoring._collector import static_names
from sklearn_dl.scoring._scorer import score
from sklearn_dl.scoring._sources import bind
from sklearn_dl.utils._embedding import EmbeddedModelEstimator
from sklearn_dl.utils._optional import import_optional
from sklearn_dl.utils._output import OwnOutputMixin
from sklearn_dl.utils._sessions import cached_session, find_session
from sklearn_dl.utils._sklearn import HasMethods, Interval, StrOptions, wrap_output
from sklearn_dl.utils._threads import thread_budget

# rows per run by kind of graph and device; measured on 2 cores for "cpu" (docs/benchmarks.md): an
# image network is fastest while its activations stay in the caches
_AUTO_BATCH_SIZE = {
    ("convolution", "cpu"): 4,
    ("sequence", "cpu"): 16,
    ("table", "cpu"): 1024,
    ("convolution", "gpu"): 32,
    ("sequence", "gpu"): 64,
    ("table", "gpu"): 4096,
}
_AUTO_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


class OnnxScorer(
    OwnOutputMixin,
    TransformerMixin,
    EmbeddedModelEstimator,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]
):
    """Score a pretrained ONNX graph: any of its tensors becomes columns of numbers.

    Rows are fed in batches. Images are decoded by threads while others are scored, so memory is
    that of a few batches, whatever the number of photographs. No `fit` is needed.

    Parameters
    ----------
    model : str, Path, bytes or onnx.ModelProto
        A file, its bytes, a parsed model, or the name of a registered model
        (:func:`sklearn_dl.models.list_models`). A file with external data is followed within its
        own folder.
    inputs : dict of str to columns, or None, default=None
        For each input of the graph the column or columns of X (name, position, list or slice of
        them). None: a graph with one input takes all of X; with several, X is a data frame whose
        columns carry their names.
    outputs : str, list of str or None, default=None
        Tensors to compute: outputs of the graph, or of any node inside it (the features before
        the last layer, say): what they do not need is cut off. None: all outputs.
    output_shape : {"2d", "native"}, default="2d"
        "2d": each output flattened per row, side by side. "native": the graph's own shape; of
        several outputs a dict of arrays.
    batch_size : int or "auto", default="auto"
        Rows per run. "auto" goes by the kind of graph and the device: 4 for image networks on a
        processor. A graph with a fixed batch size is fed in that size, the last batch padded.
    providers : "auto" or list, default="auto"
        ONNX Runtime's execution providers, best first. "auto": CUDA where the installed
        onnxruntime has it, else the processor.
    n_threads : int or None, default=None
        Threads that are busy at once. None: the CPUs that this process may use, or inside a
        joblib worker its share of them.
    embed_model : bool, default=True
        Whether a pickle carries the model (up to 2 GiB). False: it carries the path or name and
        the content's hash, and the model must be found where the pickle is loaded.
    session_options : dict or None, default=None
        Attributes of `onnxruntime.SessionOptions` (enumerations by their names), and its config
        entries (names with a dot).
    verbose : int, default=0
        1: a progress bar while scoring. 2: also ONNX Runtime's warnings.

    Attributes
    ----------
    inputs_, outputs_ : tuple of TensorSpec
        (name, shape, dtype) of the inputs, and of the outputs asked for. Need no `fit`.
    n_features_in_ : int
        Number of columns of a 2-D X, after `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names of X, after `fit` on a data frame.

    See Also
    --------
    PixelExtractor : The step before, for images.
    ScoreClassifier : The step after: scores to labels.
    sklearn_dl.clear_sessions : Gives the memory of loaded graphs back.

    Notes
    -----
    ML.NET's ApplyOnnxModel and DnnFeaturizeImage, which run one row at a time. Numbers are cast
    to what the graph wants as numpy's "same_kind" allows, and to integers if every value is
    integral and in range; anything else is an error. Loaded graphs live in one cache of the
    process, which clones, folds of a cross-validation and unpickled copies share. ONNX custom
    operator libraries are not loaded.

    Examples
    --------
    >>> import numpy as np, onnx
    >>> from onnx import TensorProto, helper
    >>> from sklearn_dl import OnnxScorer
    >>> graph = helper.make_graph(
    ...     [helper.make_node("Neg", ["x"], ["y"])],
    ...     "negate",
    ...     [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
    ...     [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
    ... )
    >>> model = helper.make_model(
    ...     graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ... )
    >>> scorer = OnnxScorer(model.SerializeToString())
    >>> scorer.transform([[1, 2], [3, 4]])
    array([[-1., -2.],
           [-3., -4.]], dtype=float32)
    >>> scorer.get_feature_names_out()
    array(['y_0', 'y_1'], dtype=object)
    """

    _parameter_constraints: dict = {
        "model": [str, os.PathLike, bytes, HasMethods("SerializeToString")],
        "inputs": [dict, None],
        "outputs": [str, list, tuple, None],
        "output_shape": [StrOptions({"2d", "native"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "providers": [list, tuple, StrOptions({"auto"})],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "embed_model": ["boolean"],
        "session_options": [dict, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model,
        *,
        inputs=None,
        outputs=None,
        output_shape="2d",
        batch_size="auto",
        providers="auto",
        n_threads=None,
        embed_model=True,
        session_options=None,
        verbose=0,
    ):
        self.model = model
        self.inputs = inputs
        self.outputs = outputs
        self.output_shape = output_shape
        self.batch_size = batch_size
        self.providers = providers
        self.n_threads = n_threads
        self.embed_model = embed_model
        self.session_options = session_options
        self.verbose = verbose

    def fit(self, X, y=None):
        """Check the parameters, the graph and X; nothing is learned.

        The first row is scored if the graph does not state the size of its outputs, which
        `get_feature_names_out` needs.

        Parameters
        ----------
        X : as in `transform`
        y : ignored

        Returns
        -------
        self : object
        """
        self._validate_params()
        session = self._session(*self._share(X))
        allow_nan = session.facts.handles_nan
        sources, n_rows = bind(X, session, self, reset=True, allow_nan=allow_nan)
        self._learned_names = None
        if self.output_shape == "2d" and static_names(session.outputs) is None:
            for row in range(n_rows):
                collector = score(session, sources, [row], 1)
                if not collector.errors:
                    collector.table()  # rows of unequal shapes raise
                    self._learned_names = collector.names()
                    break
        return self

    def transform(self, X):
        """Score X.

        Parameters
        ----------
        X : PixelArray, array-like of shape (n_samples, n_features) or (n_samples, ...), or frame
            Numbers for numeric inputs, strings for string inputs; a column of arrays, whose
            shapes may differ from row to row where the graph allows it. Flat rows are reshaped
            if the graph states every size.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_outputs)
            Of the graph's dtype (the common one of several outputs; object if any is a string), or
            a data frame if `set_output` asks for it. With ``output_shape="native"`` an array of
            the graph's own shape, or a dict of such arrays; rows of unequal shapes give an object
            array. Rows whose image could not be read (``ImageLoader(on_error="nan")``) are NaN
            (integers become float64) or None, with one warning.

        Raises
        ------
        ValueError
            If X does not fit the inputs, or an output does not exist; expected and seen are named.
        FileNotFoundError
            If the model cannot be found.
        """
        self._validate_params()
        n_threads, n_workers = self._share(X)
        session = self._session(n_threads, n_workers)
        allow_nan = session.facts.handles_nan
        sources, n_rows = bind(X, session, self, reset=False, allow_nan=allow_nan)
        with self._progress(n_rows) as done:
            batch_size = self._batch_size(session)
            collector = score(session, sources, range(n_rows), batch_size, n_workers, done)
        if self.output_shape == "native":
            arrays = collector.result()
            warn_of_failed_rows(collector.errors, n_rows)
            if len(arrays) == 1:
                return arrays[0]
            return {spec.name: array for spec, array in zip(session.outputs, arrays, strict=True)}
        table = collector.table()
        warn_of_failed_rows(collector.errors, n_rows)
        index = X.index if isinstance(X, PixelArray) else None
        return wrap_output(self, table, X, collector.names, index)

    def get_feature_names_out(self, input_features=None):
        """Names of the output columns.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        names : ndarray of str objects
            The output's name, with the position of the value in the flattened row if there are
            several; the keys of a ZipMap.

        Raises
        ------
        NotFittedError
            If the graph does not state the sizes of its outputs, before `fit`.
        """
        names = static_names(self.outputs_)
        if names is None:
            names = getattr(self, "_learned_names", None)
        if names is None:
            raise NotFittedError(
                "The graph does not state the sizes of its outputs; call fit, which scores a row."
            )
        return names

    @property
    def inputs_(self):
        """Inputs of the graph: tuple of (name, shape, dtype)."""
        return self._any_session().inputs

    @property
    def outputs_(self):
        """Outputs asked for: tuple of (name, shape, dtype)."""
        return self._any_session().outputs

    def _find_content(self):
        return _onnx_model.resolve(self.model)

    def _providers(self):
        ort = import_optional("onnxruntime", extra="onnx", purpose="OnnxScorer")
        available = ort.get_available_providers()
        if isinstance(self.providers, str):
            return [provider for provider in _AUTO_PROVIDERS if provider in available]
        names = [p if isinstance(p, str) else p[0] for p in self.providers]
        if not names or set(names) - set(available):
            raise ValueError(f"providers={self.providers!r} must be of {available}.")
        return list(self.providers)

    def _share(self, X):
        """The thread budget, and how many of its threads take batches side by side.

        Photographs gain from it, arrays do not.
        """
        budget = thread_budget(self.n_threads)
        return budget, budget if isinstance(X, PixelArray) and len(X) >= 2 * budget else 1

    def _session(self, n_threads=None, n_workers=1):
        """The session for `n_workers` threads that call it at once, from the process's cache."""
        content, outputs = self._content(), self._asked_outputs()
        n_threads = (n_threads or thread_budget(self.n_threads)) // n_workers
        providers = self._providers()
        options = self.session_options or {}
        log_level = 2 if self.verbose > 1 else 4
        key = (content.sha256, outputs, n_threads, repr(providers), repr(options), log_level)
        session = cached_session(
            key,
            lambda: _onnx_graph.open_session(
                content, outputs, n_threads, providers, options, log_level
            ),
        )
        if self.providers != "auto":
            wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
            started = session.session.get_providers()
            if wanted not in started:
                raise ValueError(f"ONNX Runtime could not start {wanted}; it has {started}.")
        return session

    def _any_session(self):
        """A session that is open for some number of threads, else a new one: for the specs."""
        opened = find_session((self._content().sha256, self._asked_outputs()))
        return opened or self._session()

    def _asked_outputs(self):
        outputs = (self.outputs,) if isinstance(self.outputs, str) else self.outputs
        if outputs is None:
            return None
        if not outputs or len(set(outputs)) != len(outputs):
            raise ValueError(f"outputs={self.outputs!r} must name one or more, each once.")
        return tuple(outputs)

    def _batch_size(self, session):
        if self.batch_size != "auto":
            return self.batch_size
        first = session.session.get_providers()[0]
        return _AUTO_BATCH_SIZE[
            session.facts.kind, "cpu" if first == "CPUExecutionProvider" else "gpu"
        ]

    @contextmanager
    def _progress(self, n_rows):
        """What to call after each batch with its number of rows, or None."""
        if not self.verbose:
            yield None
            return
        tqdm = import_optional("tqdm", extra="onnx", purpose="verbose=1").tqdm
        with tqdm(total=n_rows, unit="row", desc=type(self).__name__) as bar:
            yield bar.update

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit = False
        return tags
