"""The head in a model's folder: what it predicts, found without torch and transformers."""

from typing import NamedTuple

from sklearn_dl.models._folder_safety import short, tensor_shapes

# for each task, how the names of transformers' classes with such a head end
_CLASSES = {
    "sequence": "ForSequenceClassification",
    "token": "ForTokenClassification",
    "answer": "ForQuestionAnswering",
}
# names of the linear layer that computes the outputs, in all families of encoders
_LAYERS = (
    *("classifier", "classifier.out_proj", "classifier.linear_out", "sequence_summary.summary"),
    *("score", "qa_outputs", "qa_classifier.qa_outputs"),
)


class NoHeadError(ValueError):
    """A model's folder has no head that an estimator can use. The message begins with "it"."""


class GivenHead(NamedTuple):
    """The head that the weights of a model's folder contain.

    Attributes
    ----------
    task : {"sequence", "token", "answer"}
        What has outputs: a text, each of its tokens, or each token as start and end of an answer.
    layer : str
        Name of the linear layer that computes the outputs.
    labels : tuple of str
        The label of each output.
    problem_type : str or None
        The value in config.json.
    order : tuple of int
        For each output of the estimator's network, the index of the output of this head that it
        comes from. Several outputs of the network that come from the same output share its
        probability.
    """

    task: str
    layer: str
    labels: tuple
    problem_type: str | None
    order: tuple

    @property
    def predicts_numbers(self):
        """Whether the outputs are numbers, not logits of labels."""
        return self.problem_type == "regression" or len(self.labels) == 1

    def ordered(self, order):
        """The same head with another `order`."""
        return self._replace(order=tuple(map(int, order)))


def find_head(content, task):
    """Find the head for a task in a model's folder.

    Parameters
    ----------
    content : FolderContent
    task : {"sequence", "token", "answer"}

    Returns
    -------
    head : GivenHead

    Raises
    ------
    NoHeadError
        If config.json does not name such a head, its weights are missing, or its labels do not
        match them.
    ValueError
        If config.json or the weights are damaged.
    """
    if "config.json" not in content.names():
        raise NoHeadError("it is an embedding of tokens without a head")
    config = content.read_json("config.json")
    names = config.get("architectures")
    names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    if not any(name.endswith(_CLASSES[task]) for name in names):
        named = short(names[0]) if names else "nothing"
        raise NoHeadError(f"it has no such head (config.json names {named} as architecture)")
    shapes = tensor_shapes(content)
    layers = [layer for layer in _LAYERS if len(shapes.get(f"{layer}.weight", ())) == 2]
    if not layers:
        raise NoHeadError(
            f"its weights do not contain the head of {short(names[0])}, which config.json names"
        )
    n_outputs = shapes[f"{layers[0]}.weight"][0]
    labels = ("start", "end") if task == "answer" else _labels(config)
    if len(labels) != n_outputs:
        raise NoHeadError(
            f"its head has {n_outputs} outputs, but there must be {len(labels)} (id2label of "
            "config.json)"
        )
    problem_type = config.get("problem_type")
    if not isinstance(problem_type, str | None):
        raise NoHeadError(f"its config.json has problem_type={short(problem_type)}")
    return GivenHead(task, layers[0], labels, problem_type, tuple(range(n_outputs)))


def _labels(config):
    """The labels of the outputs, as transformers reads them from a config."""
    labels = config.get("id2label")
    if labels is None:
        # transformers does not write its default
        n_labels = config.get("num_labels", 2)
        if not isinstance(n_labels, int) or not 0 < n_labels < 2**16:
            raise NoHeadError(f"its config.json has num_labels={short(n_labels)}")
        return tuple(f"LABEL_{number}" for number in range(n_labels))
    if not isinstance(labels, dict) or set(labels) != {str(n) for n in range(len(labels))}:
        raise NoHeadError(
            f"id2label in its config.json must number the labels from 0, but is {short(labels)}"
        )
    ordered = tuple(labels[str(number)] for number in range(len(labels)))
    seen: set = set()
    for label in ordered:
        if not isinstance(label, str):
            raise NoHeadError(f"id2label in its config.json has {short(label)}, which is not text")
        if label in seen:
            raise NoHeadError(f"id2label in its config.json has the label {short(label)} twice")
        seen.add(label)
    return ordered
