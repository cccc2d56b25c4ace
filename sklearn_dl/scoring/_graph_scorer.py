"""What the scorers of all runtimes share: X to a graph's inputs, its outputs to a table."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import contextmanager
from numbers import Integral
from typing import Any

from sklearn.base import TransformerMixin
from sklearn.exceptions import NotFittedError

from sklearn_dl.images import ImageReadError, PixelArray
from sklearn_dl.models._estimator import ModelEstimator
from sklearn_dl.runtimes._collector import static_names
from sklearn_dl.runtimes._scoring_loop import score
from sklearn_dl.scoring._binding import bind
from sklearn_dl.scoring._constants import fill
from sklearn_dl.utils._base import all_or_nothing
from sklearn_dl.utils._messages import short_messages, warn_of_failed_rows
from sklearn_dl.utils._optional import import_optional, needed_by
from sklearn_dl.utils._output import OwnOutputMixin
from sklearn_dl.utils._sklearn import Interval, StrOptions, wrap_output
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


class GraphScorer(
    OwnOutputMixin,
    TransformerMixin,
    ModelEstimator,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]
):
    """Scores rows with a pretrained graph. Subclasses open it (`_session`, `_any_session`).

    An opened graph has `inputs`, `optional_inputs` and `outputs`, tuples of TensorSpec,
    `unused_inputs`, names that other outputs need, `kind`, `on_gpu` and `mixes_rows` for the batch
    size, `handles_nan`, and ``run(feeds)``.
    """

    _parameter_constraints: dict = {
        "inputs": [dict, None],
        "constants": [dict, None],
        "pixels": [dict, None],
        "outputs": [str, list, tuple, None],
        "output_shape": [StrOptions({"2d", "native"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "embed_model": ["boolean"],
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
    _extra: str

    @abstractmethod
    def _session(self, n_threads=None, n_workers=1):
        """The graph for `n_workers` threads that call it at once, from the process's cache."""

    @abstractmethod
    def _any_session(self):
        """The graph, open for some number of threads: for the specs."""

    @all_or_nothing
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
        with short_messages():
            self._validate_params()
            self._note_content()
            session = fill(self._session(*self._share(X)), self.constants, self._takes_bytes)
            allow_nan = session.handles_nan
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
        X : PixelArray, array-like of shape (n_samples, n_features) or (n_samples, ...), frame, or
            dict of these
            Numbers for numeric inputs, strings for string inputs; a column of arrays, whose
            shapes may differ from row to row where the graph allows it; a column of images for
            the inputs in `pixels`. Flat rows are reshaped if the graph states every size. A dict
            is for graphs with several inputs, whose names are its keys; scikit-learn cannot
            select rows of it, for a cross-validation say, as it can of a data frame.

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
        with short_messages(), needed_by(self):
            self._validate_params()
            n_threads, n_workers = self._share(X)
            session = fill(self._session(n_threads, n_workers), self.constants, self._takes_bytes)
            allow_nan = session.handles_nan
            sources, n_rows = bind(X, session, self, reset=False, allow_nan=allow_nan)
            with self._progress(n_rows) as done:
                batch_size = self._batch_size(session)
                collector = score(session, sources, range(n_rows), batch_size, n_workers, done)
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
        with short_messages(), needed_by(self):
            return self._any_session().inputs

    @property
    def outputs_(self):
        """Outputs asked for: tuple of (name, shape, dtype)."""
        with short_messages(), needed_by(self):
            return self._any_session().outputs

    def _warn_of(self, errors, n_rows):
        noun = "image" if all(isinstance(e, ImageReadError) for e in errors.values()) else "row"
        warn_of_failed_rows(errors, n_rows, noun)

    def _share(self, X):
        """The thread budget, and how many of its threads take batches side by side.

        Photographs gain from it, arrays do not.
        """
        budget = thread_budget(self.n_threads)
        return budget, budget if _n_images(X, self.pixels) >= 2 * budget else 1

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
        if session.mixes_rows:
            return 1
        return _AUTO_BATCH_SIZE[session.kind, "gpu" if session.on_gpu else "cpu"]

    @contextmanager
    def _progress(self, n_rows):
        """What to call after each batch with its number of rows, or None."""
        if not self.verbose:
            yield None
            return
        tqdm = import_optional("tqdm", extra=self._extra, purpose="verbose=1").tqdm
        with tqdm(total=n_rows, unit="row", desc=type(self).__name__) as bar:
            yield bar.update

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.allow_nan = self.on_error == "nan"
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit = False
        return tags


def _n_images(X, pixels):
    """Rows of X that have images: all or none."""
    if isinstance(X, Mapping):
        return max((_n_images(values, pixels) for values in X.values()), default=0)
    return len(X) if isinstance(X, PixelArray) or (pixels and hasattr(X, "__len__")) else 0
