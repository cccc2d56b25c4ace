"""The estimator that classifies texts."""

from numbers import Real
from typing import Any

import numpy as np

from sklearn_dl.text._given_head import NoHeadError
from sklearn_dl.text._text_estimator import GivenAttribute, TextEstimator
from sklearn_dl.text._text_rows import LONG_TEXTS_CONSTRAINTS
from sklearn_dl.text._text_transformer import TextTransformerMixin
from sklearn_dl.training._classes import Classes
from sklearn_dl.training._labels import Labels
from sklearn_dl.training._network_classifier import NetworkClassifierMixin
from sklearn_dl.training._search_space import C_OF_HEAD, C_OF_INITIAL_HEAD, Searched
from sklearn_dl.utils._sklearn import Interval


class TextClassifier(TextTransformerMixin, NetworkClassifierMixin, TextEstimator):
    """Classify texts, or pairs of texts, by fine-tuning a pretrained encoder.

    A row has one class, or any number of labels. Labels are given as a matrix `y` of 0 and 1 with
    one column for each label.

    Parameters
    ----------
    model : str or Path, default="all-minilm-l6-v2"
        The pretrained model: a name from :func:`sklearn_dl.models.list_models`, or a path. The path
        leads to a folder with ``config.json``, the tokenizer's files and ``model.safetensors``: a
        text encoder that transformers' AutoModel can load. Other formats of weights are refused,
        and so is code in the folder. A repository in the Hugging Face cache can be given by its
        name ("owner/name"). If the folder has a head that classifies texts, no `fit` is needed to
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
        or none (0). With 0, embeddings are computed once, and
        :class:`~sklearn.linear_model.LogisticRegression` is fitted to them, in seconds.
    C : float or "auto", default="auto"
        Inverse of the regularisation strength of the logistic regression on the features. With
        ``trainable_layers=0``, this regression is the head; otherwise, fine-tuning starts from it.
        A larger value fits the training rows more closely. With one class for each row, "auto" is
        1, and the embeddings are not scaled. With several labels, "auto" is 30 with
        ``trainable_layers=0``, and 1 otherwise; the embeddings are divided by one number, so that
        their variances add up to 1.
    max_epochs : int, default=3
        Number of passes over the training rows.
    batch_size : int, default=16
        Number of rows in a batch. Training batches contain rows of similar length. Each window of
        a long text counts as a row.
    learning_rate : float, default=1e-4
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
    label_smoothing : float, default=0.0
        Share of the target probability that is spread evenly over all classes; with several labels,
        over the values 0 and 1 of each label. It has no effect with ``trainable_layers=0``.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, multiplied by `sample_weight`, as in scikit-learn. With
        several labels, 0 and 1 are the classes of each label, as in
        ``OneVsRestClassifier(LogisticRegression(class_weight=...))``.
    early_stopping : bool, default=False
        Whether to hold out validation rows, and to stop when the score on them no longer improves.
        The weights of the epoch with the best score are kept (among equal scores, those with the
        lowest loss).
    scoring : str, callable or None, default=None
        Score that early stopping watches: a name from :func:`sklearn.metrics.get_scorer_names`, or
        a callable ``scorer(estimator, X, y)``. The callable gets the validation rows as they were
        passed to `fit`. None: the estimator's own `score` method. With several labels: the
        micro-averaged F1 score.
    validation_fraction : float or int, default=0.1
        Share (float) or number (int) of the rows that early stopping holds out, if `fit` gets no
        `X_val`. The split is stratified by class; with several labels, by the rarest label of each
        row.
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
    missing : label, default=None
        Label that `predict` returns for a row that could not be read (``on_error="nan"``). With
        None, labels are an object array, which scikit-learn's metrics refuse if it contains None;
        with several labels, they are a float array, and such a row has NaN.
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of validation rows, the order of the batches and dropout. The same int
        gives the same results, bit for bit, on the same machine with the same number of threads.
        None: a new seed for each fit, which is not drawn from numpy's global generator; with a
        `checkpoint_dir`, it is derived from the data.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: progress bars, and a line after each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,) or (n_labels, 2)
        The classes, sorted: the order of the columns of `predict_proba`. With several labels,
        each row has the two values of one label.
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
    TextRegressor : Predicts numbers for texts.
    SentenceSimilarityRegressor : Predicts how similar two texts are.
    TextEncoder : Embeddings of a pretrained encoder, for any estimator of scikit-learn.

    Notes
    -----
    The counterpart in ML.NET is TextClassification. The pretrained encoder gets a head: a new
    linear layer on the pooled tokens. The model's folder defines the pooling; the default is the
    mean. Encoder and head are trained by AdamW [1]_ on the cross entropy. The model defines the
    dropout rates, but attention has no dropout.

    With ``long_texts="windows"``, each window is trained to predict the target of its text. All
    windows of a text together count like one row; each is weighted by its number of tokens.
    Predictions and the validation score are those of whole texts: the logits of a text are the
    weighted mean of those of its windows.

    If the folder of `model` has the head of transformers' AutoModelForSequenceClassification, the
    estimator predicts without `fit`. `classes_` are then the labels in ``id2label`` of the folder's
    ``config.json``, sorted; with ``problem_type="multi_label_classification"``, the outputs are
    several labels, in the order of ``id2label``. `fit` and the first `partial_fit` start from this
    head if its labels are those of y (with several labels: if there are as many of them as y has
    columns), and otherwise from a new head. With ``trainable_layers=0``, the head is always new. As
    long as the head of the folder is in use, `transform` returns the input of its last layer.

    With few rows per class, ``trainable_layers=0`` is about as accurate as training, and takes a
    fraction of the time. The user guide has figures.

    References
    ----------
    .. [1] Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019.

    Examples
    --------
    >>> from sklearn_dl import TextClassifier
    >>> X = ["a fine film", "dull and slow", "simply great", "what a bore"] * 5
    >>> y = ["good", "bad", "good", "bad"] * 5
    >>> clf = TextClassifier(trainable_layers=0).fit(X, y)
    >>> clf.predict(["great fun", "slow and boring"])
    array(['good', 'bad'], dtype='<U4')
    """

    _parameter_constraints: dict = {
        **TextEstimator._parameter_constraints,
        **LONG_TEXTS_CONSTRAINTS,
        **NetworkClassifierMixin._classifier_constraints,
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }
    _searched_if_frozen = C_OF_HEAD
    _searched_if_trained = {
        **TextEstimator._searched_if_trained,
        **C_OF_INITIAL_HEAD,
        "label_smoothing": Searched(None, [0.0, 0.1]),
    }
    _allowed_columns = {1, 2}
    _head_task = "sequence"
    classes_: Any = GivenAttribute()

    def __init__(
        self,
        model="all-minilm-l6-v2",
        *,
        max_length=128,
        long_texts="truncate",
        window_overlap=32,
        trainable_layers="all",
        C="auto",
        max_epochs=3,
        batch_size=16,
        learning_rate=1e-4,
        weight_decay=0.01,
        warmup_ratio=0.06,
        max_grad_norm=1.0,
        label_smoothing=0.0,
        class_weight=None,
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
        missing=None,
        random_state=None,
        verbose=0,
    ):
        self._store(locals())

    def _read_head(self, head):
        labels = np.array(head.labels)
        if head.predicts_numbers:
            raise NoHeadError("its head predicts numbers: use TextRegressor")
        problem: Any
        if head.problem_type == "multi_label_classification":
            problem, order = self._make_problem(Labels), head.order
            problem.classes = np.tile(np.array([0, 1]), (len(labels), 1))
        else:
            problem, order = self._make_problem(Classes), np.argsort(labels)
            problem.classes = labels[order]
        return head.ordered(order), problem
