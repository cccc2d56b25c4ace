"""The estimator that predicts numbers from texts."""

from sklearn_dl.text._given_head import NoHeadError
from sklearn_dl.text._text_estimator import TextEstimator
from sklearn_dl.text._text_rows import LONG_TEXTS_CONSTRAINTS
from sklearn_dl.text._text_transformer import TextTransformerMixin
from sklearn_dl.training._network_regressor import NetworkRegressorMixin


class TextRegressor(TextTransformerMixin, NetworkRegressorMixin, TextEstimator):
    """Predict numbers from texts, or pairs of texts, by fine-tuning a pretrained encoder.

    It predicts one number for each row, or several, if `y` has several columns.

    Parameters
    ----------
    model : str or Path, default="all-minilm-l6-v2"
        The pretrained model: a name from :func:`sklearn_dl.models.list_models`, or a path. The path
        leads to a folder with ``config.json``, the tokenizer's files and ``model.safetensors``: a
        text encoder that transformers' AutoModel can load. Other formats of weights are refused,
        and so is code in the folder. A repository in the Hugging Face cache can be given by its
        name ("owner/name"). If the folder has a head that predicts numbers, no `fit` is needed to
        predict: see the notes.
    max_length : int, default=128
        Largest number of tokens that are read at once, special tokens included. One warning
        states how many texts are longer. If the two texts of a pair are read together, the limit
        applies to both together.
    long_texts : {"truncate", "windows"}, default="truncate"
        How a text with more than `max_length` tokens is read. "truncate": only its beginning is
        read. "windows": the whole text is read, in windows of `max_length` tokens, which share
        `window_overlap` tokens with their neighbours. The embedding of the text is the mean of
        those of its windows, weighted by their numbers of tokens. Pairs of texts cannot be read
        in windows.
    window_overlap : int, default=32
        Number of tokens that neighbouring windows of a long text share.
    trainable_layers : "all" or int, default="all"
        Which part of the pretrained network is trained: "all" of it, a number of its last layers,
        or none (0). With 0, embeddings are computed once, and a ridge regression is fitted to them,
        in seconds.
    max_epochs : int, default=3
        Number of passes over the training rows.
    batch_size : int, default=16
        Number of rows in a batch. Training batches contain rows of similar length. Each window of
        a long text counts as a row.
    learning_rate : float, default=2e-4
        Highest learning rate of AdamW.
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
    history_ : dict of list
        The keys are ``epoch``, ``train_loss``, ``learning_rate`` (at the end of the epoch),
        ``seconds``, ``examples_per_second`` and, with early stopping, ``validation_loss`` and
        ``validation_score`` (R²); each list has one value per epoch. Empty if the network was not
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
    SentenceSimilarityRegressor : Predicts how similar two texts are.
    TextClassifier : Predicts classes for texts.
    TextEncoder : Embeddings of a pretrained encoder, for any estimator of scikit-learn.

    Notes
    -----
    The pretrained encoder gets a head: a new linear layer on the pooled tokens. Encoder and head
    are trained by AdamW on the squared error of standardised targets. The two texts of a pair are
    read together. Trained on pairs, this estimator is the same as the cross-encoder of
    :class:`~sklearn_dl.SentenceSimilarityRegressor`. But that estimator predicts only one number,
    has the attributes `slope_` and `intercept_`, and can compare embeddings instead. ML.NET has
    no regression on texts.

    With ``long_texts="windows"``, each window is trained to predict the target of its text. All
    windows of a text together count like one row; each is weighted by its number of tokens.
    Predictions and the validation score are those of whole texts: the output of a text is the
    weighted mean of those of its windows.

    If the folder of `model` has the head of transformers' AutoModelForSequenceClassification with
    one output, or with ``problem_type="regression"`` in its ``config.json``, the estimator predicts
    without `fit`: the numbers are the outputs of the head. `fit` and the first `partial_fit` start
    from this head if y has as many columns as it has outputs, and otherwise from a new head. With
    ``trainable_layers=0``, the head is always new. As long as the head of the folder is in use,
    `transform` returns the input of its last layer.

    With ``trainable_layers=0``, the features of a pair are u, v, abs(u - v) and u * v, where u and
    v are the embeddings of its texts. The regularisation of the ridge regression is chosen by
    leave-one-out cross-validation, which treats repeated rows as independent: pass `sample_weight`
    instead of repeating rows.

    Examples
    --------
    >>> from sklearn_dl import TextRegressor
    >>> X = ["a fine film", "dull and slow", "simply great", "what a bore"] * 5
    >>> stars = [4, 1, 5, 1] * 5
    >>> model = TextRegressor(trainable_layers=0).fit(X, stars)
    >>> good, bad = model.predict(["great fun", "slow and boring"])
    >>> bool(good > bad)
    True
    """

    _parameter_constraints: dict = {
        **TextEstimator._parameter_constraints,
        **LONG_TEXTS_CONSTRAINTS,
    }
    _allowed_columns = {1, 2}
    _head_task = "sequence"

    def __init__(
        self,
        model="all-minilm-l6-v2",
        *,
        max_length=128,
        long_texts="truncate",
        window_overlap=32,
        trainable_layers="all",
        max_epochs=3,
        batch_size=16,
        learning_rate=2e-4,
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

    def _read_head(self, head):
        if not head.predicts_numbers:
            raise NoHeadError("its head predicts classes: use TextClassifier")
        problem = self._new_problem(None)
        problem.n_outputs = len(head.labels) if len(head.labels) > 1 else None
        return head, problem
