"""The estimator that finds the answers to questions in texts."""

from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils.validation import check_consistent_length

from sklearn_dl.metrics._answers import f1_of_answer, gold_answers
from sklearn_dl.text._text_estimator import TextEstimator
from sklearn_dl.text._windows import text_chunks
from sklearn_dl.text.answers._answer_network import AnswerNetwork
from sklearn_dl.text.answers._answers import Answers
from sklearn_dl.text.answers._gold_answers import located_answers
from sklearn_dl.training._estimator import fit_method
from sklearn_dl.training._problem import mean
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._messages import names_labels
from sklearn_dl.utils._optional import needed_by
from sklearn_dl.utils._sklearn import (
    Interval,
    StrOptions,
    check_sample_weight,
    validate_parameter_constraints,
)

ANSWER_DTYPE = np.dtype(
    [("answer", object), ("start", np.int64), ("end", np.int64), ("score", np.float64)]
)
# what `predict` returns for a row that cannot be read
_MISSING = np.array([(None, -1, -1, np.nan)], dtype=ANSWER_DTYPE)


class QuestionAnswerer(TextEstimator):
    """Find the answer to a question in a text, the context, by fine-tuning an encoder.

    An answer is a part of the context. Contexts may have any length: long ones are read in windows
    that overlap, each together with the question.

    Parameters
    ----------
    model : str or Path, default="all-minilm-l6-v2"
        The pretrained model: a name from :func:`sklearn_dl.models.list_models`, or a path. The path
        leads to a folder with ``config.json``, the tokenizer's files and ``model.safetensors``: a
        text encoder that transformers' AutoModel can load. Other formats of weights are refused,
        and so is code in the folder. A repository in the Hugging Face cache can be given by its
        name ("owner/name"). If the folder has a head that finds answers, no `fit` is needed to
        predict: see the notes.
    max_length : int, default=384
        Largest number of tokens that are read at once, special tokens included. The tokens of the
        question count too.
    window_overlap : int, default=128
        Number of tokens that neighbouring windows of a long text share.
    max_answer_length : int, default=30
        Largest number of tokens of an answer that `predict` finds.
    allow_no_answer : bool, default=False
        Whether `predict` may return "no answer" even if all training questions have an answer. If
        some of them have none, `predict` may return it in any case.
    trainable_layers : "all" or int, default="all"
        Which part of the pretrained network is trained: "all" of it, a number of its last layers,
        or none (0). Here 0 is refused: without training, the embeddings of a context's tokens
        hardly depend on the question, so that no head can find the answer.
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
        `X_val`. The split is stratified by whether a row has an answer.
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
        same way. So is a row whose question leaves no room for the context in `max_length`. The
        missing value is the answer None with the score NaN.
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of validation rows, the order of the batches and dropout. The same int
        gives the same results, bit for bit, on the same machine with the same number of threads.
        None: a new seed for each fit, which is not drawn from numpy's global generator; with a
        `checkpoint_dir`, it is derived from the data. The first weights of the head are also drawn
        with it.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: progress bars, and a line after each epoch.

    Attributes
    ----------
    history_ : dict of list
        The keys are ``epoch``, ``train_loss``, ``learning_rate`` (at the end of the epoch),
        ``seconds``, ``examples_per_second`` (windows) and, with early stopping,
        ``validation_loss`` and ``validation_score``; each list has one value per epoch.
    best_epoch_ : int
        Number of the epoch whose weights are kept, counted from 1.
    device_ : str
        Torch device that predictions are computed on.
    n_features_in_ : int
        Number of columns of X, which is 2.
    feature_names_in_ : ndarray of shape (2,)
        Names of the columns, if X is a frame.

    See Also
    --------
    sklearn_dl.metrics.exact_match_score : The share of answers that are right as a whole.
    sklearn_dl.metrics.answer_f1_score : The overlap of the words; `score` is its value.
    sklearn_dl.datasets.load_squad : Reads questions, contexts and answers from a file.
    EntityRecognizer : Finds all names in a text, without a question.

    Notes
    -----
    The counterpart in ML.NET is QuestionAnswer. There, an answer lacks its last token; a row with
    few answers repeats answers of the row before it; start and end can be in the question; a
    context is cut at 512 tokens; and training answers that are not at the given start are silently
    left out.

    The pretrained encoder gets a head: a new linear layer, which gives each token one logit for the
    start of the answer and one for its end. Encoder and head are trained by AdamW on the mean of
    the two cross entropies over the tokens of the context and the first token of the window. That
    first token stands for "no answer", and is the target of windows that do not contain the whole
    answer [1]_.

    Neighbouring windows share `window_overlap` tokens, but at most half of the tokens that the
    question leaves free in a window. An answer is found only if all its tokens are in one window:
    `max_answer_length` should not exceed the overlap if contexts are long.

    The score of a span is the sum of its start and end logits. Start and end are chosen together:
    all spans of at most `max_answer_length` tokens in all windows are compared. For "no answer",
    the score of a window is the sum of the two logits of its first token, and the lowest score of
    all windows counts.

    If the folder of `model` has the head of transformers' AutoModelForQuestionAnswering, the
    estimator predicts without `fit`, and `fit` starts from this head. The folder does not say
    whether the head was trained with questions that have no answer: set ``allow_no_answer=True`` if
    it was.

    The encoder that comes with the package was made for comparing sentences, and is weak at this
    task: after 839 questions of XQuAD, its exact match score on other articles was 0.34. Set
    `model` to an encoder that was pretrained for answers, or to a larger one, and fit it to some
    thousands of questions.

    References
    ----------
    .. [1] Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language
       Understanding, 2019.

    Examples
    --------
    >>> from sklearn_dl import QuestionAnswerer
    >>> X = [["Who lives in Rome?", "Anna lives in Rome."], ["Where is Otto?", "Otto is at home."]]
    >>> y = ["Anna", ("home", 11)]
    >>> answerer = QuestionAnswerer(max_epochs=4, learning_rate=5e-4, random_state=0).fit(X, y)
    >>> (answer,) = answerer.predict([["Who lives in Rome?", "Anna lives in Rome."]])
    >>> answer["answer"], int(answer["start"]), int(answer["end"])
    ('Anna', 0, 4)
    """

    _allowed_columns = {2}
    _head_task = "answer"
    _parameter_constraints: dict = {
        **TextEstimator._parameter_constraints,
        "window_overlap": [Interval(Integral, 0, None, closed="left")],
        "max_answer_length": [Interval(Integral, 1, None, closed="left")],
        "allow_no_answer": ["boolean"],
        "trainable_layers": [StrOptions({"all"}), Interval(Integral, 1, None, closed="left")],
    }
    del _parameter_constraints["memory"]
    window_overlap: int
    max_answer_length: int
    allow_no_answer: bool
    _problem: Any

    def __init__(
        self,
        model="all-minilm-l6-v2",
        *,
        max_length=384,
        window_overlap=128,
        max_answer_length=30,
        allow_no_answer=False,
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
        """Fit to questions, contexts and answers.

        Parameters
        ----------
        X : array-like of shape (n_samples, 2)
            A column of questions and a column of contexts.
        y : list, object array or Series of n_samples rows
            The answer to each question, in one of these forms: a text that occurs exactly once in
            the context; ``(text, start)``, where `start` counts the characters of the context;
            SQuAD's ``{"text": [...], "answer_start": [...]}`` with any number of answers (the first
            one is learned; validation compares all of them); None, "" or empty lists if the context
            does not answer the question. The array that `predict` returns is also accepted.
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight 2 counts in the loss like two rows. Rows of weight 0 are left out.
        X_val, y_val : array-like, default=None
            Rows for early stopping, instead of a `validation_fraction` of X.
        sample_weight_val : array-like of shape (n_val_samples,), default=None
            Weights of the rows of `X_val`.

        Returns
        -------
        self : QuestionAnswerer

        Raises
        ------
        ValueError
            If a cell is not text, an answer is missing (NaN) or malformed, is not found at its
            start, has no start and does not occur exactly once in its context, no row has an
            answer, a question leaves no room for a context, the model is a static embedding, the
            tokenizer is written in Python, a checkpoint belongs to another fit, or the loss is no
            longer finite. If the error is about a row, it names the row. The estimator is left as
            it was.
        FileNotFoundError
            If `model` is neither a folder nor a registered model.
        ImportError
            If torch or transformers is not installed.

        Warns
        -----
        UserWarning
            If answers have more than `max_answer_length` tokens, or no window contains a whole
            answer.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)

    def predict(self, X):
        """Find the best answer to each question.

        Parameters
        ----------
        X : array-like of shape (n_samples, 2)
            A column of questions and a column of contexts.

        Returns
        -------
        answers : structured ndarray of shape (n_samples,)
            With the fields ``answer`` (str), ``start`` and ``end`` (int64, characters of the
            context: ``context[start:end] == answer``) and ``score`` (float64: its softmax among all
            spans of all windows, and "no answer" if it is allowed). An answer does not begin or end
            with white space. "No answer" is ``("", -1, -1)`` and its score. It is returned only if
            y had such rows, or with ``allow_no_answer=True``. If the context has nothing but white
            space and characters that the tokenizer leaves out, or is empty, it is returned with the
            score 1. Rows that cannot be read (``on_error="nan"``) are ``(None, -1, -1, nan)``, with
            one warning.
        """
        found = [_MISSING if answers is None else answers for answers in self._best(X, 1)]
        return np.concatenate(found) if found else _MISSING[:0]

    def top_k(self, X, k):
        """Find the k best answers to each question.

        Parameters
        ----------
        X : array-like of shape (n_samples, 2)
            As in `predict`.
        k : int
            At least 1.

        Returns
        -------
        answers : object ndarray of shape (n_samples,)
            For each row a structured array as `predict` returns it, of at most `k` different spans,
            the best first; among equal scores, the first in the context. None for rows that cannot
            be read (``on_error="nan"``), with one warning.
        """
        constraints = {"k": [Interval(Integral, 1, None, closed="left")]}
        validate_parameter_constraints(constraints, {"k": k}, caller_name="top_k")
        return object_array(self._best(X, k))

    @names_labels
    def score(self, X, y, sample_weight=None):
        """The mean F1 score of the words of the answers that `predict` finds.

        Parameters
        ----------
        X : array-like of shape (n_samples, 2)
            As in `predict`.
        y : list, object array or Series of n_samples rows
            As in `fit`. If a row has several answers, the one that matches best counts. The score
            of a row that cannot be read (``on_error="nan"``) is 0.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        f1 : float
            From 0 to 1, as :func:`sklearn_dl.metrics.answer_f1_score`.
        """
        golds = gold_answers(y, "y")
        found = self.predict(X)["answer"]
        check_consistent_length(found, golds)
        weights = check_sample_weight(sample_weight, np.empty((len(golds), 1)), dtype=np.float64)
        scores = [
            0.0 if answer is None else f1_of_answer([text for text, _ in answers], answer)
            for answers, answer in zip(golds, found, strict=True)
        ]
        return mean(np.array(scores), weights)

    @names_labels
    def _best(self, X, k):
        """For each row its `k` best answers; None for rows that cannot be read."""
        rows = self._rows_to_predict(X)
        predictor, problem = self._present_predictor(), self._problem.with_limits(self)
        made: list = []
        errors: dict = {}
        with needed_by(self), self._where().progress(len(rows), "predictions") as where:
            where = where.resolved()
            for chunk in text_chunks(rows.columns):
                some = rows.take(chunk)
                read = predictor.outputs(some, where)
                errors |= {chunk.start + i: error for i, error in read.errors.items()}
                for position, tokens in enumerate(read.values.rows()):
                    if position in read.errors:
                        made.append(None)
                    else:
                        context = str(some.columns[1][position])
                        made.append(_answers(problem.best(tokens, k), context))
        rows.warn_of_errors([errors[p] for p in sorted(errors)], len(rows), left_out=False)
        return made

    def _rows(self, X, reset, learns):
        return replace(super()._rows(X, reset, learns), overlap=self.window_overlap)

    def _with_targets(self, rows, y, name, problem):
        return rows, located_answers(y, rows, name)

    def _new_problem(self, y):
        return Answers(type(self).__name__, self.max_answer_length, self.allow_no_answer)

    def _read_head(self, head):
        return head, self._new_problem(None)

    def _network_to_start(self, content, earlier, is_partial=False):
        if earlier is None:
            return AnswerNetwork(self.model, content)
        return self._network.with_content(content)


def _answers(spans, context):
    """The answers of spans, as `predict` returns them."""
    answers = np.empty(len(spans), dtype=ANSWER_DTYPE)
    for name in ("start", "end", "score"):
        answers[name] = spans[name]
    answers["answer"] = [context[a:b] if a >= 0 else "" for a, b, _ in spans.tolist()]
    return answers
