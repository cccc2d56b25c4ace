"""GraphScorer: base class of the scorers, which score rows of X with a pretrained graph."""

from abc import abstractmethod
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from sklearn.base import TransformerMixin
from sklearn.exceptions import NotFittedError

from sklearn_dl.images import ImageReadError, PixelArray
from sklearn_dl.models._estimator import EMBED_MODEL, ModelEstimator
from sklearn_dl.runtimes._collector import Collector, static_names
from sklearn_dl.runtimes._scoring_loop import score
from sklearn_dl.scoring._binding import bind
from sklearn_dl.scoring._constants import fill
from sklearn_dl.utils._base import all_or_nothing
from sklearn_dl.utils._messages import names_labels, short_messages, warn_of_failed_rows
from sklearn_dl.utils._optional import needed_by
from sklearn_dl.utils._output import OwnOutputMixin
from sklearn_dl.utils._progress import progress_bar
from sklearn_dl.utils._sklearn import Interval, StrOptions, wrap_output
from sklearn_dl.utils._threads import thread_budget

# by kind of graph and device; measured on a CPU with 2 cores (docs/benchmarks.md): a convolutional
# network is fastest while its activations stay in the CPU's caches
_AUTO_BATCH_SIZE = {
    ("convolution", "cpu"): 4,
    ("sequence", "cpu"): 16,
    ("table", "cpu"): 1024,
    ("convolution", "gpu"): 32,
    ("sequence", "gpu"): 64,
    ("table", "gpu"): 4096,
}


class GraphScorer(
    OwnOutputMixin,
    TransformerMixin,
    ModelEstimator,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]
):
    """Base class of transformers that score rows with a pretrained graph.

    Subclasses open the graph (`_session`, `_any_session`). An opened graph has these attributes:

    - `inputs`, `optional_inputs` and `outputs`: tuples of TensorSpec
    - `unused_inputs`: names of the inputs that only other outputs need
    - `kind`, `on_gpu` and `mixes_rows`: the batch size depends on them
    - `handles_nan`: whether it has operators that give NaN a meaning
    - ``run(feeds)``: its method that computes the outputs of a batch
    """

    _parameter_constraints: dict = {
        "inputs": [dict, None],
        "constants": [dict, None],
        "pixels": [dict, None],
        "outputs": [str, list, tuple, None],
        "output_shape": [StrOptions({"2d", "native"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "embed_model": EMBED_MODEL,
        "on_error": [StrOptions({"raise", "nan"})],
        "verbose": ["verbose"],
    }
    inputs: Any
    constants: Any
    pixels: Any
    outputs: Any
    output_shape: str
    batch_size: Any
    n_threads: int | None
    on_error: str
    verbose: Any
    _takes_bytes = False  # whether strings may be bytes
    _extra: str  # the extra of sklearn-dl that installs the runtime

    @abstractmethod
    def _session(self, n_threads=None, n_workers=1):
        """The opened graph, from the process's cache, for `n_workers` threads that run it."""

    @abstractmethod
    def _any_session(self):
        """The opened graph for any number of threads: enough to read its inputs and outputs."""

    @all_or_nothing
    @names_labels
    def fit(self, X, y=None):
        """Check the parameters, the graph and X; nothing is learned.

        If the graph does not state the sizes of its outputs, the first row that can be read is
        scored: `get_feature_names_out`, and `transform` of an X without rows, need these sizes.

        Parameters
        ----------
        X : as in `transform`
        y : ignored

        Returns
        -------
        self : object
        """
        with short_messages():
            self._validate_params()
            self._note_content()
            session = fill(self._session(*self._share(X)), self.constants, self._takes_bytes)
            allow_nan = session.handles_nan
            sources, n_rows = bind(X, session, self, reset=True, allow_nan=allow_nan)
            self._learned_names = self._learned_shapes = None
            if static_names(session.outputs) is None:
                for row in range(n_rows):
                    collector = score(session, sources, [row], 1)
                    if not collector.errors:
                        if self.output_shape == "2d":
                            collector.table()  # an error if the output is not a table
                            self._learned_names = collector.names()
                        self._learned_shapes = [(a.shape[1:], a.dtype) for a in collector.arrays]
                        break
        return self

    @names_labels
    def transform(self, X):
        """Score X.

        Parameters
        ----------
        X : PixelArray, array-like of shape (n_samples, n_features) or (n_samples, ...), frame, or
            dict of these
            Numbers for numeric inputs, strings for string inputs, and a column of images for each
            input in `pixels`. Rows with several axes may be a column of arrays; their shapes may
            differ if the graph allows it. Flat rows are reshaped if the graph states every size
            of a row. A graph with several inputs also accepts a dict of these, by the names of
            the inputs. scikit-learn cannot select rows of a dict, so a dict cannot be
            cross-validated; a data frame can.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_outputs)
            It has the dtype of the output. Several outputs get a common dtype, which is object if
            one of them has strings. The result is a data frame if `set_output` asks for it. With
            ``output_shape="native"``, it is an array of the output's own shape (an object array if
            its rows have different shapes), or a dict of arrays by the names of the outputs. Rows
            that could not be read (``on_error="nan"``) are NaN, or None for strings. If there are
            such rows, integers become float64, and a single warning states how many rows there are.

        Raises
        ------
        ValueError
            If X does not match the inputs, or an output does not exist; if X has no rows, the graph
            does not state the sizes of its outputs, and `fit` was not called.
        FileNotFoundError
            If the model cannot be found.
        """
        with short_messages(), needed_by(self):
            self._validate_params()
            n_threads, n_workers = self._share(X)
            session = fill(self._session(n_threads, n_workers), self.constants, self._takes_bytes)
            allow_nan = session.handles_nan
            sources, n_rows = bind(X, session, self, reset=False, allow_nan=allow_nan)
            name = type(self).__name__
            with progress_bar(self.verbose, n_rows, name, self._extra) as done:
                batch_size = self._batch_size(session)
                learned = getattr(self, "_learned_shapes", None)
                collector = Collector(n_rows, session.outputs, learned)
                score(session, sources, range(n_rows), batch_size, n_workers, done, collector)
            if self.output_shape == "native":
                arrays = collector.result()
                self._warn_of(collector.errors, n_rows)
                if len(arrays) == 1:
                    return arrays[0]
                return {
                    spec.name: array for spec, array in zip(session.outputs, arrays, strict=True)
                }
            table = collector.table()
            self._warn_of(collector.errors, n_rows)
            index = X.index if isinstance(X, PixelArray) else None
            was_scored = len(collector.errors) < n_rows
            names = collector.names if was_scored else self.get_feature_names_out
            return wrap_output(self, table, X, names, index)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the output columns.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        names : ndarray of str objects
            The name of the output. If a row of the output has several values, the name is followed
            by the position of the value in the flattened row ("y_0"). For a ZipMap, the name is
            followed by the key.

        Raises
        ------
        NotFittedError
            If the graph does not state the sizes of its outputs, and `fit` was not called.
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
        """Name, shape and dtype of each input of the graph: tuple of TensorSpec."""
        with short_messages(), needed_by(self):
            return self._any_session().inputs

    @property
    def outputs_(self):
        """Name, shape and dtype of each output that is computed: tuple of TensorSpec."""
        with short_messages(), needed_by(self):
            return self._any_session().outputs

    def _warn_of(self, errors, n_rows):
        noun = "image" if all(isinstance(e, ImageReadError) for e in errors.values()) else "row"
        warn_of_failed_rows(errors, n_rows, noun)

    def _share(self, X):
        """The number of threads, and how many of them score batches at the same time.

        Several batches at a time are faster only for images: each thread decodes its own batch.
        """
        budget = thread_budget(self.n_threads)
        return budget, budget if _n_images(X, self.pixels) >= 2 * budget else 1

    def _asked_outputs(self):
        outputs = (self.outputs,) if isinstance(self.outputs, str) else self.outputs
        if outputs is None:
            return None
        if not outputs or len(set(outputs)) != len(outputs):
            raise ValueError(
                f"outputs={self.outputs!r} must name at least one tensor, and each only once."
            )
        return tuple(outputs)

    def _batch_size(self, session):
        if self.batch_size != "auto":
            return self.batch_size
        if session.mixes_rows:
            return 1
        return _AUTO_BATCH_SIZE[session.kind, "gpu" if session.on_gpu else "cpu"]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.allow_nan = self.on_error == "nan"
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit = False
        return tags


def _n_images(X, pixels):
    """The number of rows of X if they may have images, else 0."""
    if isinstance(X, Mapping):
        return max((_n_images(values, pixels) for values in X.values()), default=0)
    return len(X) if isinstance(X, PixelArray) or (pixels and hasattr(X, "__len__")) else 0
