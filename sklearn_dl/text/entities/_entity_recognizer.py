"""The estimator that finds entities in texts."""

from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils.validation import check_consistent_length

from sklearn_dl.metrics._entity_tags import ENTITY_DTYPE, SCHEMES, read_entities, tags_of_spans
from sklearn_dl.text._text_estimator import GivenAttribute, TextEstimator
from sklearn_dl.text._windows import text_chunks
from sklearn_dl.text.entities._alignment import as_given, in_split_words, in_words, widened
from sklearn_dl.text.entities._decoding import spans_of_codes
from sklearn_dl.text.entities._entity_network import EntityNetwork
from sklearn_dl.text.entities._given_tags import GivenTags
from sklearn_dl.text.entities._tags import Tags, f1_of_spans
from sklearn_dl.text.entities._word_rows import word_rows
from sklearn_dl.training._estimator import fit_method
from sklearn_dl.utils._columns import object_array, row_index
from sklearn_dl.utils._messages import names_labels
from sklearn_dl.utils._optional import import_optional, needed_by
from sklearn_dl.utils._sklearn import Interval, StrOptions, check_sample_weight


class EntityRecognizer(TextEstimator):
    """Find entities in texts, such as names of people and places, by fine-tuning an encoder.

    Each word gets a tag: the start of an entity with a label, its continuation, or none. Texts may
    have any length: long ones are read in windows that overlap.

    Parameters
    ----------
    model : str or Path, default="all-minilm-l6-v2"
        The pretrained model: a name from :func:`sklearn_dl.models.list_models`, or a path. The path
        leads to a folder with ``config.json``, the tokenizer's files and ``model.safetensors``: a
        text encoder that transformers' AutoModel can load. Other formats of weights are refused,
        and so is code in the folder. A repository in the Hugging Face cache can be given by its
        name ("owner/name"). If the folder has a head that tags tokens, no `fit` is needed to
        predict: see the notes.
    max_length : int, default=128
        Largest number of tokens that are read at once, special tokens included.
    window_overlap : int, default=32
        Number of tokens that neighbouring windows of a long text share. A word that is in two
        windows gets its tag from the window in which it is farther from the edge.
    scheme : {"auto", "IO", "BIO", "IOB1", "BILOU", "BIOES"}, default="auto"
        What the tags in y mean. "auto" is IO if every tag but "O" starts with "I-", and BIO if each
        entity starts with "B-"; other tags raise an error that asks for the scheme.
    trainable_layers : "all" or int, default="all"
        Which part of the pretrained network is trained: "all" of it, a number of its last layers,
        or none (0). With 0, the embeddings of the words are computed once, and
        :class:`~sklearn.linear_model.LogisticRegression` is fitted to them.
    max_epochs : int, default=4
        Number of passes over the training rows.
    batch_size : int, default=16
        Number of rows in a batch. Training batches contain rows of similar length. Each window of
        a long text counts as a row.
    learning_rate : float, default=3e-4
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
        `X_val`. The split is stratified by the rarest label of each row.
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
        same way. The missing value is None.
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of validation rows, the order of the batches and dropout. The same int
        gives the same results, bit for bit, on the same machine with the same number of threads.
        None: a new seed for each fit, which is not drawn from numpy's global generator; with a
        `checkpoint_dir`, it is derived from the data.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: progress bars, and a line after each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        The labels of the entities, sorted.
    history_ : dict of list
        The keys are ``epoch``, ``train_loss``, ``learning_rate`` (at the end of the epoch),
        ``seconds``, ``examples_per_second`` (windows) and, with early stopping,
        ``validation_loss`` and ``validation_score``; each list has one value per epoch. Empty if
        the network was not trained.
    best_epoch_ : int
        Number of the epoch whose weights are kept, counted from 1; 0 if the network was not
        trained.
    device_ : str
        Torch device that predictions are computed on.
    n_features_in_ : int
        Number of columns of X, which is 1.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column, if X is a frame.

    See Also
    --------
    sklearn_dl.metrics.entity_f1_score : Compares entities.
    TextClassifier : Predicts one class for a text.

    Notes
    -----
    The counterpart in ML.NET is NamedEntityRecognition. The pretrained encoder gets a head: a new
    linear layer on the embedding of the first token of each word. Encoder and head are trained by
    AdamW on the cross entropy of BIO tags. The Viterbi algorithm finds the most probable legal
    sequence of tags, which is the prediction.

    If the encoder ignores letter case, it also learns an embedding for each shape of a word, such
    as an initial capital or digits only. This embedding is added to those of the word's tokens. It
    is zero before training.

    If the folder of `model` has the head of transformers' AutoModelForTokenClassification, and its
    labels are tags of the schemes BIO, IO or IOB1, the estimator predicts without `fit`. The folder
    does not say which scheme it is. Therefore each word gets its most probable label, and an entity
    starts where the label changes or B- is more probable than I-. The probability of a word is that
    of its label. `fit` starts from this head if its entity labels are those of y, and otherwise
    from a new head. With ``trainable_layers=0``, the head is always new.

    The words of a text are runs of letters and digits, and punctuation marks. Each character of
    Chinese, Japanese, Thai, Lao, Khmer and Burmese is a word. If `fit` gets tags for texts, then
    the words are those of ``text.split()``.

    This estimator is not a classifier for scikit-learn, whose `type_of_target` refuses lists of
    tags. Cross-validation and grid search work, with splitters that do not stratify.

    Examples
    --------
    >>> from sklearn_dl import EntityRecognizer
    >>> X = ["Anna lives in Rome", "Otto works in Paris", "Rome is old", "Ask Anna"] * 5
    >>> y = [[(0, 4, "PER"), (14, 18, "LOC")], [(0, 4, "PER"), (14, 19, "LOC")]]
    >>> y = [*y, [(0, 4, "LOC")], [(4, 8, "PER")]] * 5
    >>> recognizer = EntityRecognizer(trainable_layers=0).fit(X, y)
    >>> (entities,) = recognizer.predict(["Otto lives in Rome"])
    >>> [(int(e["start"]), int(e["end"]), e["label"]) for e in entities]
    [(0, 4, 'PER'), (14, 18, 'LOC')]
    """

    _parameter_constraints: dict = {
        **TextEstimator._parameter_constraints,
        "window_overlap": [Interval(Integral, 0, None, closed="left")],
        "scheme": [StrOptions({"auto", *SCHEMES})],
    }
    del _parameter_constraints["memory"]
    _head_task = "token"
    classes_: Any = GivenAttribute()

    def __init__(
        self,
        model="all-minilm-l6-v2",
        *,
        max_length=128,
        window_overlap=32,
        scheme="auto",
        trainable_layers="all",
        max_epochs=4,
        batch_size=16,
        learning_rate=3e-4,
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
        checkpoint_dir=None,
        warm_start=False,
        embed_model="auto",
        on_error="raise",
        random_state=None,
        verbose=0,
    ):
        self._store(locals())

    @fit_method
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit to texts, or lists of words, and their entities.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Texts, or lists of words. In a list of lists, the inner lists are words, not columns.
        y : list, object array or Series of n_samples rows
            For each row either its tags or its entities. Tags are strings, one for each word; the
            words of a text are then those of ``text.split()``. Entities are a list of (start, end,
            label), or an array that `predict` returned; [] is a row without entities. Start and end
            count characters if rows are texts, and words if they are lists; the end is exclusive.
        sample_weight : array-like of shape (n_samples,), default=None
            The words of a row of weight 2 count in the loss like those of two rows. Rows of weight
            0 are left out.
        X_val, y_val : array-like, default=None
            Rows for early stopping, instead of a `validation_fraction` of X.
        sample_weight_val : array-like of shape (n_val_samples,), default=None
            Weights of the rows of `X_val`.

        Returns
        -------
        self : EntityRecognizer

        Raises
        ------
        ValueError
            If a cell is neither a text nor a list of words, y has no entities, an entity starts or
            ends inside a word, two entities overlap, the number of tags is not that of the words,
            tags are not legal in `scheme`, the tokenizer is written in Python, a checkpoint belongs
            to another fit, or the loss is no longer finite. Errors name the row. The estimator is
            left as it was.
        FileNotFoundError
            If `model` is neither a folder nor a registered model.
        ImportError
            If torch or transformers is not installed.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)

    def predict(self, X):
        """Find the entities of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Texts, or lists of words. This may be a different kind than `fit` got.

        Returns
        -------
        entities : object ndarray of shape (n_samples,)
            For each row a structured array of shape (n_entities,), ordered by start, with the
            fields ``start`` and ``end`` (int64; characters of texts, words of lists; the end is
            exclusive), ``label`` (str) and ``score`` (float64: the mean probability of the tags of
            its words). None for rows that cannot be read (``on_error="nan"``), with one warning.
        """
        return self._of_rows(X, _entities)

    def predict_tags(self, X):
        """Predict a tag for each word of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            As in `predict`.

        Returns
        -------
        tags : object ndarray of shape (n_samples,)
            For each row a list with one tag for each word; the words of a text are those of
            ``text.split()``. The scheme is that of the y of `fit`, or BIO if y had entities or IO
            tags. None for rows that cannot be read (``on_error="nan"``), with one warning.
        """
        return self._of_rows(X, partial(_tags, scheme=self._problem.scheme))

    @names_labels
    def predict_frame(self, X):
        """Find the entities of all rows, as one table.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            As in `predict`.

        Returns
        -------
        frame : pandas.DataFrame
            One row per entity, with the columns ``row``, ``text``, ``start``, ``end``, ``label``
            and ``score``. ``row`` is the row's label in the index of X if X is a frame or a Series,
            else its position in X. Rows without entities, or that could not be read, are left out.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_optional("pandas", extra="demo", purpose="predict_frame")
        rows = self._rows_to_predict(X)
        found = self.predict(X)
        counts = np.array([0 if entities is None else len(entities) for entities in found], int)
        row = np.repeat(np.arange(len(found)), counts)
        table = np.concatenate(
            [entities for entities in found if entities is not None and len(entities)]
            or [np.empty(0, dtype=ENTITY_DTYPE)]
        )
        spans = zip(row.tolist(), table["start"].tolist(), table["end"].tolist(), strict=True)
        if rows.words is None:
            texts = [rows.columns[0][r][a:b] for r, a, b in spans]
        else:
            texts = [" ".join(rows.words[r][a:b]) for r, a, b in spans]
        index = row_index(X)
        columns = {
            "row": row if index is None else index[row],
            "text": texts,
            **{name: table[name] for name in ENTITY_DTYPE.names or ()},
        }
        # pandas would give a column without entities another dtype
        for name in ("text", "label"):
            columns[name] = pandas.array(columns[name], dtype=str)
        return pandas.DataFrame(columns)

    @names_labels
    def score(self, X, y, sample_weight=None):
        """The F1 score of the entities that `predict` finds, of all rows together.

        An entity is right if its start, end and label are right.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            As in `predict`.
        y : list, object array or Series of n_samples rows
            Entities or tags, as in `fit`. With tags of texts, predicted entities are widened to
            whole words of ``text.split()``. The entities of a row that cannot be read
            (``on_error="nan"``) count as not found.
        sample_weight : array-like of shape (n_samples,), default=None
            The entities of a row of weight 2 count like those of two rows.

        Returns
        -------
        f1 : float
            0 if there are no entities at all.
        """
        rows = self._rows_to_predict(X)
        entities = read_entities(y, "y", scheme=self.scheme)
        check_consistent_length(rows, entities.spans)
        given = as_given(entities, rows, "y")
        weights = check_sample_weight(sample_weight, np.empty((len(rows), 1)), dtype=np.float64)
        true = {(row, *span) for row, spans in enumerate(given) for span in spans}
        found = set()
        for row, predicted in enumerate(self.predict(X)):
            if predicted is None:
                continue
            spans = predicted[["start", "end", "label"]].tolist()
            if rows.words is None and entities.n_tags[row] is not None:
                spans = widened(spans, rows.columns[0][row])
            found |= {(row, *span) for span in spans}
        return f1_of_spans(true, found, lambda span: weights[span[0]])

    @names_labels
    def _of_rows(self, X, read_row):
        """Apply `read_row` to the entities of each row; None for rows that cannot be read."""
        rows = self._rows_to_predict(X)
        predictor, problem = self._present_predictor(), self._problem
        made: list = []
        errors: dict = {}
        with needed_by(self), self._where().progress(len(rows), "predictions") as where:
            where = where.resolved()
            for chunk in text_chunks(rows.columns):
                some = rows.take(chunk)
                read = predictor.outputs(some, where)
                errors |= {chunk.start + i: error for i, error in read.errors.items()}
                entities, bounds = _entities_of(read.values, problem, some)
                for position in range(len(some)):
                    spans = entities[bounds[position] : bounds[position + 1]]
                    is_error = position in read.errors
                    made.append(None if is_error else read_row(spans, some, position))
        rows.warn_of_errors([errors[p] for p in sorted(errors)], len(rows), left_out=False)
        return object_array(made)

    def _rows(self, X, reset, learns):
        return word_rows(X, self, reset=reset)

    def _rows_to_predict(self, X):
        return super()._rows_to_predict(X).split_at_spaces(self._problem.splits_at_spaces)

    def _with_targets(self, rows, y, name, problem: Any):
        entities = read_entities(y, name, scheme=self.scheme)
        if name == "y":
            has_tags = any(n is not None for n in entities.n_tags)
            problem.splits_at_spaces = rows.words is None and has_tags
            if entities.scheme not in (None, "IO"):
                problem.scheme = entities.scheme
        rows = rows.split_at_spaces(problem.splits_at_spaces)
        return rows, in_words(entities, rows, name)

    def _new_problem(self, y):
        return Tags(type(self).__name__)

    def _read_head(self, head):
        problem = GivenTags(type(self).__name__, head.labels)
        return head.ordered(problem.order), problem

    def _network_to_start(self, content, earlier, is_partial=False):
        if earlier is None:
            return EntityNetwork(self.model, content)
        return self._network.with_content(content)


def _entities(entities, rows, position):
    return entities


def _tags(entities, rows, position, scheme):
    """The tags of the words of one row."""
    spans = [(start, end, label) for start, end, label, _ in entities.tolist()]
    if rows.words is not None:
        n_words = len(rows.words[position])
    else:
        spans, n_words = in_split_words(spans, rows.columns[0][position])
    return tags_of_spans(spans, n_words, scheme)


def _entities_of(outputs, problem, rows):
    """The entities of some rows, and where those of each row start and stop."""
    codes = problem.predictions(outputs)
    first, stop, label = spans_of_codes(codes.values)
    entities = np.empty(len(first), dtype=ENTITY_DTYPE)
    entities["label"] = object_array(problem.classes.tolist())[label]
    sums = np.append(0.0, np.cumsum(problem.probabilities(outputs, codes.values)))
    entities["score"] = (sums[stop] - sums[first]) / (stop - first)
    row_starts = np.append(codes.starts, len(codes.values))
    bounds = np.searchsorted(first, row_starts)
    row = np.repeat(np.arange(len(rows)), np.diff(bounds))
    entities["start"], entities["end"] = first - codes.starts[row], stop - codes.starts[row]
    if rows.words is None:
        for position in np.unique(row).tolist():
            some = entities[bounds[position] : bounds[position + 1]]
            words = rows.word_spans(position)
            some["start"], some["end"] = words[some["start"], 0], words[some["end"] - 1, 1]
    return entities, bounds
