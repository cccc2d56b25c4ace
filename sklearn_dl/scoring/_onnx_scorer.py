"""OnnxScorer: a pretrained ONNX graph as a scikit-learn transformer."""

import os
from typing import cast

from sklearn_dl.models._onnx import OnnxModel, find_onnx, parse
from sklearn_dl.runtimes._sessions import find_session
from sklearn_dl.runtimes.onnx._ends import inner_tensors
from sklearn_dl.runtimes.onnx._graph import shared_session
from sklearn_dl.scoring._graph_scorer import GraphScorer
from sklearn_dl.utils._sklearn import HasMethods, StrOptions
from sklearn_dl.utils._threads import thread_budget


class OnnxScorer(GraphScorer, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Score rows with a pretrained ONNX graph; any of its tensors can become columns of the output.

    Rows are scored in batches. Threads decode images while other images are scored. Only a few
    batches of pixels are in memory at a time, for any number of images. `fit` is not needed.

    Parameters
    ----------
    model : str, Path, bytes, bytearray or onnx.ModelProto
        The pretrained model: a name from :func:`sklearn_dl.models.list_models`, or a path. The path
        leads to an ONNX file. The file's bytes and a parsed model are also accepted. External data
        is read from the file's own folder only, and in the Hugging Face cache from the files of its
        own repository.
    inputs : dict of str to columns, or None, default=None
        For each input of the graph, the column or columns of X that it gets: a name, a position,
        or a list or slice of these. None: a graph with one input gets all of X; for several inputs,
        X is a data frame or a dict of arrays, whose columns or keys are the names of the inputs.
    constants : dict of str to value, or None, default=None
        Values of inputs that are the same for all rows, such as ``{"keep_prob": 1.0}``. X does not
        contain these inputs. If an input has a row for each row of X, its value is one row, which
        is repeated; otherwise the value is the whole array. A single number fills an input whose
        sizes are known.
    pixels : dict of str to PixelExtractor, or None, default=None
        How images are turned into numbers if X has images and other columns: for each input that
        takes images, a PixelExtractor with the scaling and layout that the network expects. The
        column of such an input contains the output of ImageLoader or ImageResizer.
    outputs : str, list of str or None, default=None
        Tensors to compute: outputs of the graph, or tensors inside it, such as the features before
        the last layer. The parts of the graph that they do not need are not computed. None: all
        outputs.
    output_shape : {"2d", "native"}, default="2d"
        Shape of the result. "2d": each output is flattened per row, and the outputs are side by
        side. "native": the shape of the graph; for several outputs, a dict of arrays.
    batch_size : int or "auto", default="auto"
        Number of rows in a batch. "auto" depends on the kind of graph and on the device: it is 4
        for image networks on a CPU. It is 1 for graphs with dynamic quantization, where a row's
        scores depend on the other rows of its batch. A graph with a fixed batch size gets batches
        of that size; the last one is padded.
    providers : "auto" or list, default="auto"
        ONNX Runtime's execution providers, in order of preference. "auto" is CUDA if the installed
        onnxruntime supports it, else the CPU.
    n_threads : int or None, default=None
        Number of threads that may be busy at once. None: the number of CPUs that this process may
        use, but at most ``OMP_NUM_THREADS``; inside a joblib worker, its share of them.
    embed_model : bool or "auto", default="auto"
        Whether a pickle contains the pretrained weights. "auto": only if `model` is not the name of
        a built-in or pinned model, which is found by its name where the pickle is loaded. True:
        always. False: never, and `model` must be found where the pickle is loaded. A model of
        more than 2 GiB can be pickled only with ``embed_model=False``.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be read. "raise": raise an error that names the row.
        "nan": return missing values for it; one warning states how many rows these are. A row with
        a missing (None, NaN) or infinite value is treated in the same way, unless the graph has
        operators that handle NaN. Images from ``ImageLoader(on_error="nan")`` are always treated
        as with "nan".
    session_options : dict or None, default=None
        Attributes of `onnxruntime.SessionOptions`, with the names of enumeration values as strings.
        A name with a dot is a configuration entry of the session. None: no further options.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: a progress bar. 2: ONNX Runtime's warnings as well.

    Attributes
    ----------
    inputs_, outputs_ : tuple of TensorSpec
        Name, shape and dtype of each input of the graph, and of each output that is computed. They
        are available before `fit`.
    tensors_ : tuple of TensorSpec
        Name, shape and dtype of each tensor inside the graph that `outputs` can name. It is
        available before `fit`.
    n_features_in_ : int
        Number of columns of a 2-D X, after `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names of X, after `fit` on a data frame.

    See Also
    --------
    PixelExtractor : The step before, for images.
    ScoreClassifier : The step after: scores to labels.
    sklearn_dl.clear_sessions : Free the memory of loaded graphs.

    Notes
    -----
    This is ML.NET's ApplyOnnxModel and DnnFeaturizeImage, which run one row at a time.

    Numbers are cast to the dtype of their input. Floats may be rounded. A number that is out of
    the range of the dtype, or that is not whole if the dtype is an integer, raises an error.

    A process keeps its loaded graphs in one cache. Clones, the folds of a cross-validation and
    unpickled copies share it. Libraries of custom operators are not loaded. Operators that use
    files, the internet or Python are refused; "EPContext" models have such operators.

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
        **GraphScorer._parameter_constraints,
        "model": [
            str,
            os.PathLike,
            bytes,
            bytearray,
            memoryview,  # refused later, with a message that says what to pass
            HasMethods("SerializeToString"),
        ],
        "providers": [list, tuple, StrOptions({"auto"})],
        "session_options": [dict, None],
    }
    _extra = "onnx"

    def __init__(
        self,
        model,
        *,
        inputs=None,
        constants=None,
        pixels=None,
        outputs=None,
        output_shape="2d",
        batch_size="auto",
        providers="auto",
        n_threads=None,
        embed_model="auto",
        on_error="raise",
        session_options=None,
        verbose=0,
    ):
        self.model = model
        self.inputs = inputs
        self.constants = constants
        self.pixels = pixels
        self.outputs = outputs
        self.output_shape = output_shape
        self.batch_size = batch_size
        self.providers = providers
        self.n_threads = n_threads
        self.embed_model = embed_model
        self.on_error = on_error
        self.session_options = session_options
        self.verbose = verbose

    def _find_content(self):
        return find_onnx(self.model)

    def _session(self, n_threads=None, n_workers=1):
        """The session, from the process's cache, for `n_workers` threads that run it."""
        return shared_session(
            self._content(),
            self._asked_outputs(),
            (n_threads or thread_budget(self.n_threads)) // n_workers,
            self.providers,
            self.session_options or {},
            log_level=2 if self.verbose > 1 else 4,
        )

    @property
    def tensors_(self):
        """Tensors inside the graph that `outputs` can name: tuple of TensorSpec.

        They are in the order in which they are computed. A shape or dtype that is known only when
        the graph runs is None.
        """
        content = cast(OnnxModel, self._content())
        return inner_tensors(parse(content.read(), content.name))

    def _any_session(self):
        """A session that is open already, for any number of threads; else a new one."""
        opened = find_session((self._content().sha256, self._asked_outputs()))
        return opened or self._session()
