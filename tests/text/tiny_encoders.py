"""Text encoders with random weights, small enough to train in a test."""

from pathlib import Path

import tokenizers
import torch
import transformers
from safetensors.torch import save_file

# every word is one token; other words are spelled by letters
_WORDS = (
    "a good bad fine poor film book plot music the is was very not and of it in to with "
    "one two three red green blue cat dog house tree old new big small fast slow"
)
WORDS = _WORDS.split()
LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)]
VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *sorted({*WORDS, *LETTERS}),
    *(f"##{letter}" for letter in LETTERS),
]


def tiny_bert(folder, seed=0, **config):
    """A BERT of two layers with a WordPiece tokenizer, saved in `folder`; `config` is its own."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        # random weights of the default size would make all texts alike
        "initializer_range": 0.2,
    }
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = transformers.BertModel(transformers.BertConfig(**settings | config))
    # model.save_pretrained draws a progress bar
    model.config.save_pretrained(folder)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    _tokenizer().save_pretrained(folder)
    return folder


def _tokenizer():
    vocabulary = {token: number for number, token in enumerate(VOCABULARY)}
    return transformers.BertTokenizerFast(vocab=vocabulary, do_lower_case=True)


def tiny_encoder(folder, kind, seed=0, **config):
    """An encoder of one of `KINDS` with the tokenizer of its family, saved in `folder`."""
    model_class, settings, make_tokenizer = KINDS[kind]
    tokenizer = make_tokenizer()
    config_class = model_class.config_class
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = model_class(
            config_class(**SMALL | {"vocab_size": len(tokenizer)} | settings | config)
        )
    folder = Path(folder)
    # model.save_pretrained draws a progress bar
    model.config.save_pretrained(folder)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)
    return folder


def _byte_level():
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return transformers.RobertaTokenizer(vocab=vocabulary, merges=[])


def _modern():
    made = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({t: n for n, t in enumerate(VOCABULARY)}, unk_token="[UNK]")
    )
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "attention_mask"],
    )


def _wordpiece_of_mpnet():
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>", *VOCABULARY[5:]]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return transformers.MPNetTokenizer(vocab=vocabulary)


def _pieces(special):
    return [
        *((token, 0.0) for token in special),
        *((f"▁{word}", -1.0) for word in WORDS if len(word) > 1),
        *((letter, -3.0) for letter in LETTERS),
        ("▁", -3.0),
    ]


def _unigrams_of_deberta():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return transformers.DebertaV2Tokenizer(vocab=_pieces(special))


def _unigrams_of_xlm():
    return transformers.XLMRobertaTokenizer(
        vocab=[*_pieces(["<s>", "<pad>", "</s>", "<unk>"]), ("<mask>", 0.0)]
    )


SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
_PADS_AT_1 = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
KINDS = {
    "bert": (transformers.BertModel, {}, _tokenizer),
    "distilbert": (
        transformers.DistilBertModel,
        {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2},
        _tokenizer,
    ),
    "roberta": (transformers.RobertaModel, {"type_vocab_size": 1, **_PADS_AT_1}, _byte_level),
    "mpnet": (transformers.MPNetModel, _PADS_AT_1, _wordpiece_of_mpnet),
    "deberta-v2": (
        transformers.DebertaV2Model,
        {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
        _unigrams_of_deberta,
    ),
    "electra": (transformers.ElectraModel, {"embedding_size": 16}, _tokenizer),
    "modernbert": (
        transformers.ModernBertModel,
        {
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "cls_token_id": 2,
            "sep_token_id": 3,
        },
        _modern,
    ),
    "xlm-roberta": (
        transformers.XLMRobertaModel,
        {"type_vocab_size": 1, **_PADS_AT_1},
        _unigrams_of_xlm,
    ),
}
