"""TensorFlowScorer: a TensorFlow or Keras model as a scikit-learn transformer."""

import os
from typing import cast

from sklearn_dl.models._tensorflow import TensorFlowModel, find_tensorflow
from sklearn_dl.runtimes._sessions import cached_session, find_session
from sklearn_dl.runtimes.tensorflow._graph import open_graph
from sklearn_dl.runtimes.tensorflow._live import content_in_memory, share_export
from sklearn_dl.runtimes.tensorflow._runtime import import_tensorflow
from sklearn_dl.scoring._graph_scorer import GraphScorer
from sklearn_dl.utils._sklearn import HasMethods, StrOptions
from sklearn_dl.utils._threads import thread_budget


class TensorFlowScorer(GraphScorer, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Score rows with a TensorFlow or Keras model; any tensor can become columns of the output.

    Rows are scored in batches. Threads decode images while other images are scored. Only a few
    batches of pixels are in memory at a time, for any number of images. `fit` is not needed.

    Parameters
    ----------
    model : str, Path, tf.Module or keras.Model
        The pretrained model: a name from :func:`sklearn_dl.models.list_models`, or a path. The path
        leads to the folder of a SavedModel, a folder with numbered versions (the highest is used),
        a frozen graph (`.pb`) or a Keras file (`.keras`, `.h5`, `.hdf5`). A tf.Module and a
        keras.Model are also accepted. A repository in the Hugging Face cache can be given by its
        name ("owner/name").
    inputs : dict of str to columns, or None, default=None
        For each input of the graph, the column or columns of X that it gets: a name, a position,
        or a list or slice of these. None: a graph with one input gets all of X; for several inputs,
        X is a data frame or a dict of arrays, whose columns or keys are the names of the inputs. An
        input of rank 0 has one value for all rows.
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
        the last layer. The parts of the graph that they do not need are not computed. A tensor is
        given by its name, or as "name:0". None: all outputs of the signature; for a graph without a
        signature, the tensors that no other node reads.
    signature : str, default="serving_default"
        Name of the signature to use, if the model is a SavedModel.
    tags : tuple of str, default=("serve",)
        Tags of the graph to use, if the model is a SavedModel.
    output_shape : {"2d", "native"}, default="2d"
        Shape of the result. "2d": each output is flattened per row, and the outputs are side by
        side. "native": the shape of the graph; for several outputs, a dict of arrays.
    batch_size : int or "auto", default="auto"
        Number of rows in a batch. "auto" depends on the kind of graph and on the device. It is 1
        for graphs with dynamic quantization, where a row's scores depend on the other rows of its
        batch. A graph with a fixed batch size gets batches of that size; the last one is padded.
    add_batch_dim : bool, default=False
        Whether the shapes that the inputs declare are those of one row, without a batch axis. If
        True, the graph is run row by row. Inputs of unknown rank get batches in any case.
    n_threads : int or None, default=None
        Number of threads that may be busy at once. None: the number of CPUs that this process may
        use, but at most ``OMP_NUM_THREADS``; inside a joblib worker, its share of them.
    device : {"auto", "cpu"}, default="auto"
        Device to compute on. "auto" is a GPU if there is one, else the CPU. TensorFlow allocates
        GPU memory only as it needs it.
    embed_model : bool or "auto", default="auto"
        Whether a pickle contains the pretrained weights. "auto": only if `model` is not the name of
        a built-in or pinned model, which is found by its name where the pickle is loaded. True:
        always. False: never, and `model` must be found where the pickle is loaded. A model in
        memory is in every pickle.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be read. "raise": raise an error that names the row.
        "nan": return missing values for it; one warning states how many rows these are. A row with
        a missing (None, NaN) or infinite value is treated in the same way, unless the graph has
        operators that handle NaN. Images from ``ImageLoader(on_error="nan")`` are always treated
        as with "nan".
    allow_unsafe_ops : bool, default=False
        Whether to load operations that may use files, the internet, Python or the process, and code
        inside Keras files. Set it to True only for models whose source you trust.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: a progress bar. 2: TensorFlow's messages as well.

    Attributes
    ----------
    inputs_, outputs_ : tuple of TensorSpec
        Name, shape and dtype of each input of the graph, and of each output that is computed. They
        are available before `fit`.
    tensors_ : tuple of TensorSpec
        Name, shape and dtype of each tensor inside the graph that `outputs` can name. It is
        available before `fit`.
    signatures_ : dict of str to Signature
        The `inputs` and `outputs` of each signature, by its name. It is available before
        `fit`.
    model_path_ : str or None
        The file or folder that is loaded, such as the folder of the highest version. None for a
        model in memory or from a pickle.
    n_features_in_ : int
        Number of columns of a 2-D X, after `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names of X, after `fit` on a data frame.

    See Also
    --------
    OnnxScorer : The same for ONNX graphs.
    ScoreClassifier : The step after: scores to labels.
    sklearn_dl.clear_sessions : Free the memory of loaded graphs.

    Notes
    -----
    This is ML.NET's LoadTensorFlowModel and ScoreTensorFlowModel, which run one row at a time.

    Numbers are cast as in OnnxScorer. Outputs of bfloat16 become float32. Outputs of strings
    become str, or bytes if they are not UTF-8. Inputs of strings accept str and bytes, such as
    encoded images or serialized `tf.Example`. A ragged output becomes one array per row, and needs
    ``output_shape="native"``. A sparse output of known width becomes dense, with 0 or "" where it
    has no value.

    Before a model is loaded, all operations of its graphs and functions are checked: each must be
    on a list of operations that only compute. A model runs in a version-1 session, which does not
    trace it again for batches of other sizes. A model in memory is exported again if its weights,
    layers or vocabularies have changed. A Keras model with your own classes or functions is
    exported again at every call.

    Examples
    --------
    >>> from sklearn_dl import TensorFlowScorer
    >>> scorer = TensorFlowScorer("inception.pb", outputs="softmax2")  # the file is read when used
    """

    _parameter_constraints: dict = {
        **GraphScorer._parameter_constraints,
        "model": [
            str,
            os.PathLike,
            TensorFlowModel,
            HasMethods("with_name_scope"),  # tf.Module
            HasMethods("export"),  # keras.Model
        ],
        "signature": [str],
        "tags": [list, tuple],
        "add_batch_dim": ["boolean"],
        "device": [StrOptions({"auto", "cpu"})],
        "allow_unsafe_ops": ["boolean"],
    }
    _takes_bytes = True
    _extra = "tensorflow"

    def __init__(
        self,
        model,
        *,
        inputs=None,
        constants=None,
        pixels=None,
        outputs=None,
        signature="serving_default",
        tags=("serve",),
        output_shape="2d",
        batch_size="auto",
        add_batch_dim=False,
        n_threads=None,
        device="auto",
        embed_model="auto",
        on_error="raise",
        allow_unsafe_ops=False,
        verbose=0,
    ):
        self.model = model
        self.inputs = inputs
        self.constants = constants
        self.pixels = pixels
        self.outputs = outputs
        self.signature = signature
        self.tags = tags
        self.output_shape = output_shape
        self.batch_size = batch_size
        self.add_batch_dim = add_batch_dim
        self.n_threads = n_threads
        self.device = device
        self.embed_model = embed_model
        self.on_error = on_error
        self.allow_unsafe_ops = allow_unsafe_ops
        self.verbose = verbose

    @property
    def signatures_(self):
        """Signatures of the model, by name: dict of str to Signature(inputs, outputs)."""
        return self._any_session().signatures

    @property
    def tensors_(self):
        """Tensors inside the graph that `outputs` can name: tuple of TensorSpec.

        Tensors inside functions cannot be named. A whole TensorFlow 2 model may be one function.
        """
        return self._any_session().inner_tensors()

    @property
    def model_path_(self):
        """The file or folder that is loaded; None for a model in memory or from a pickle."""
        return cast(TensorFlowModel, self._content()).path

    def _find_content(self):
        if isinstance(self.model, (str, os.PathLike, TensorFlowModel)):
            return find_tensorflow(self.model)
        return content_in_memory(self.model)

    def _key(self, content):
        return (
            "tensorflow",
            content.sha256,
            self._asked_outputs(),
            self.signature,
            tuple(self.tags),
            self.device,
            self.add_batch_dim,
            self.allow_unsafe_ops,
        )

    def _session(self, n_threads=None, n_workers=1):
        """The opened graph, from the process's cache, for `n_threads` threads."""
        # before the cache is used: in a forked process, this raises an error
        import_tensorflow(self.verbose)
        n_threads = n_threads or thread_budget(self.n_threads)
        content = self._content()
        return cached_session(
            (*self._key(content), n_threads),
            lambda: open_graph(
                content,
                signature=self.signature,
                tags=tuple(self.tags),
                outputs=self._asked_outputs(),
                n_threads=n_threads,
                device=self.device,
                add_batch_dim=self.add_batch_dim,
                allow_unsafe=self.allow_unsafe_ops,
                verbose=self.verbose,
            ),
            content.n_bytes,
        )

    def _any_session(self):
        return find_session(self._key(self._content())) or self._session()

    def __sklearn_clone__(self):
        clone = super().__sklearn_clone__()
        share_export(self.model, clone.model)
        return clone

    def __getstate__(self):
        state = super().__getstate__()
        if not isinstance(self.model, (str, os.PathLike)):
            state["model"] = self._content()
        return state
