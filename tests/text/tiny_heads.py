"""Models of transformers with random weights and a head, small enough to train in a test."""

import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

from tests.text.tiny_encoders import KINDS, SMALL

_MAPPINGS = {
    "sequence": transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    "token": transformers.MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    "answer": transformers.MODEL_FOR_QUESTION_ANSWERING_MAPPING,
}


def tiny_head(folder, kind, task, labels=("c", "a", "b"), seed=0, **config):
    """A model of one of `KINDS` with a head for a task, saved in `folder`.

    `labels` are those of the outputs. The other arguments are as in `tiny_encoder`.
    """
    encoder_class, settings, make_tokenizer = KINDS[kind]
    tokenizer = make_tokenizer()
    settings = SMALL | {"vocab_size": len(tokenizer)} | settings | config
    if task != "answer":
        settings["id2label"] = dict(enumerate(labels))
    model_class = _MAPPINGS[task][encoder_class.config_class]
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = model_class(encoder_class.config_class(**settings))
    model.config.architectures = [model_class.__name__]
    folder = Path(folder)
    # model.save_pretrained draws a progress bar
    model.config.save_pretrained(folder)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
    return folder


def own_outputs(folder, texts, pairs=None):
    """The outputs of the model in `folder` for texts or pairs of texts, by transformers alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    model_class = getattr(transformers, config.architectures[0])
    model = model_class.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**tokenizer(texts, pairs, padding=True, return_tensors="pt"))


def change_config(folder, **values):
    """Set values in the config.json of a folder."""
    path = Path(folder, "config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
