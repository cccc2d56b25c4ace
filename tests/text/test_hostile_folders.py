"""Folders of text encoders that try to read other files, run code or exhaust memory."""

import contextlib
import json
import pickle
import shutil
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from safetensors.torch import load_file, save_file
from sklearn.base import clone

from sklearn_dl import TextClassifier, TextEncoder, clear_sessions
from sklearn_dl.models._folder import find_folder
from sklearn_dl.text._text_network import load_network, load_tokenizer
from tests.models.hostile_folders import change, in_cache, shards, traps
from tests.text.tiny_encoders import tiny_encoder

X = np.array(["a good film", "the bad book", "fine music", "poor plot xyz"], dtype=object)


def load(folder):
    content = find_folder(folder)
    return load_network(content), load_tokenizer(content, 32)


def embeddings(folder):
    network, tokens = load(folder)
    ids, mask, types = (
        None if part is None else torch.from_numpy(part)
        for part in tokens.pad(tokens.encode([X], 1))
    )
    with torch.inference_mode():
        return network.move_to(torch.device("cpu")).embed(ids, mask, types).numpy()


@pytest.fixture(scope="module")
def expected(encoder):
    return embeddings(encoder)


KERNELS = [
    *("kernels-community/flash-attn", "org/repo:function", "flash_attention_2", "paged|eager"),
    *("flex_attention", "../kernel", {"": "org/repo"}, ["org/repo"], 3),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_kernels_are_not_asked_for(folder, expected, kernel, monkeypatch):
    names = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")
    more = ("experts_implementation", "_experts_implementation", "kernel_config", "fusion_config")
    change(folder / "config.json", use_kernels=True, **dict.fromkeys((*names, *more), kernel))
    with traps(monkeypatch):
        assert_array_equal(embeddings(folder), expected)


@pytest.mark.parametrize(
    "hostile",
    [
        # a key that transformers would store under another name
        {"attribute_map": {"x": "_attn_implementation_internal"}, "x": "org/repo:function"},
        {"__dict__": {"_attn_implementation_internal": "org/repo"}, "__class__": "x"},
        {
            "to_dict": 1,
            "get_text_config": {},
            "sub_configs_defaults": {"a": 1},
            "base_config_key": 1,
        },
        {
            "auto_map": {"AutoConfig": "code.C", "AutoModel": "org/repo--code.M"},
            "custom_pipelines": 1,
        },
        {"dtype": "float99", "torch_dtype": {"a": 1}, "_name_or_path": "/etc", "name_or_path": 3},
        {"transformers_weights": "../x.safetensors", "gguf_file": "../x.gguf", "_commit_hash": 1},
        {"transformers_version": "99", "configuration_files": ["config.json"], "name": "../x"},
        {"return_dict": False, "output_attentions": True, "output_hidden_states": True},
        {"text_config": {"_attn_implementation": "org/repo"}, "per_layer_config": None},
        {"quantization_config": None, "use_timm_backbone": False, "pruned_heads": {}},
    ],
    ids=lambda values: next(iter(values)),
)
def test_what_is_not_of_the_network_changes_nothing(folder, expected, hostile, monkeypatch):
    change(folder / "config.json", **hostile)
    (folder / "code.py").write_text("raise SystemExit('this code was run')")
    with traps(monkeypatch):
        assert_array_equal(embeddings(folder), expected)


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (
            {"quantization_config": {"quant_method": "bitsandbytes"}},
            "quantization_config is refused",
        ),
        ({"quantization_config": {"quant_method": "awq"}}, "quantization_config is refused"),
        ({"text_config": {"quantization_config": {"a": 1}}}, "quantization_config is refused"),
        ({"decoder": {"compression_config": {"a": 1}}}, "compression_config is refused"),
        ({"backbone": "resnet50", "use_pretrained_backbone": True}, "backbone is refused"),
        ({"model_type": "timm_wrapper", "architecture": "x"}, "'timm_wrapper' is refused"),
        ({"model_type": "mra"}, "'mra' is refused: transformers would download a kernel"),
        ({"model_type": "yoso"}, "'yoso' is refused: transformers would download a kernel"),
        ({"model_type": "no/such"}, "does not know the model_type 'no/such'"),
        ({"model_type": ["bert"]}, r"does not know the model_type \['bert'\]"),
        ({"model_type": None}, "does not know the model_type None"),
        ({"tokenizer_class": "AutoModel"}, "tokenizer_class is 'AutoModel'"),
    ],
)
def test_what_fetches_or_imports_is_refused(folder, hostile, message, monkeypatch):
    change(folder / "config.json", **hostile)
    with (
        traps(monkeypatch),
        pytest.raises(ValueError, match=f"^model folder {folder}: .*{message}"),
    ):
        load(folder)


def test_the_config_for_this_version_of_transformers(folder, expected):
    shutil.copy(folder / "config.json", folder / "config.4.0.0.json")
    change(folder / "config.json", hidden_size=8, configuration_files=["config.4.0.0.json"])
    assert_array_equal(embeddings(folder), expected)
    for name in ("config.4.1.0.json", "config.4/../../x.json", 3):
        change(folder / "config.json", configuration_files=[name])
        with pytest.raises(ValueError, match=r"its config\.json cannot be used"):
            load_network(find_folder(folder))


def test_adapters_are_refused_before_anything_is_read(folder, monkeypatch):
    change(folder / "adapter_config.json", base_model_name_or_path="org/repo", peft_type="LORA")
    with traps(monkeypatch, folder / "config.json"), pytest.raises(ValueError, match="an adapter"):
        load(folder)


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("keep_decoder", [True, False])
def test_tokenizers_read_their_own_files_only(folder, expected, file, keep_decoder, monkeypatch):
    secret = folder.parent / "secret"
    shutil.copytree(folder, secret)
    others = [secret / "tokenizer.json", secret / "vocab.txt"]
    others[1].write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nsecret\n")
    if not keep_decoder:  # the files of older versions are read then
        asked = json.loads((folder / "tokenizer_config.json").read_text())
        asked.pop("added_tokens_decoder", None)
        (folder / "tokenizer_config.json").write_text(json.dumps(asked))
    for path in others:
        names = (
            "vocab",
            "vocab_file",
            "merges",
            "tokenizer_file",
            "added_tokens_file",
            "gguf_file",
        )
        hostile = dict.fromkeys((*names, "special_tokens_map_file", "name_or_path"), str(path))
        change(folder / file, **hostile, trust_remote_code=True, subfolder="../secret")
        with traps(monkeypatch, *others):
            assert_array_equal(embeddings(folder), expected)


def test_code_of_a_tokenizer_is_not_run(folder, expected, monkeypatch):
    (folder / "code.py").write_text("raise SystemExit('this code was run')")
    for auto_map in ({"AutoTokenizer": ["code.T", "code.T"]}, ["code.T", None], "code.T", 3):
        change(folder / "tokenizer_config.json", auto_map=auto_map)
        with traps(monkeypatch):
            assert_array_equal(embeddings(folder), expected)


def test_chat_templates_are_not_read(folder, expected, monkeypatch):
    (folder / "chat_template.jinja").write_text("{{ ''.__class__ }}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "x.jinja").symlink_to("/etc/passwd")
    with traps(monkeypatch, "/etc/passwd"):
        assert_array_equal(embeddings(folder), expected)


@pytest.mark.parametrize(
    "name",
    [
        *("AutoModel", "pipeline", "BertModel", "Trainer", "AutoTokenizer", "RagTokenizer"),
        *("NougatTokenizerFast", "Wav2Vec2PhonemeCTCTokenizer", 3, ["BertTokenizer"]),
    ],
    ids=str,
)
def test_classes_that_are_not_tokenizers_of_texts_are_refused(folder, name, monkeypatch):
    change(folder / "tokenizer_config.json", tokenizer_class=name)
    with (
        traps(monkeypatch),
        pytest.raises(ValueError, match="its tokenizer cannot be used: tokenizer_class"),
    ):
        load_tokenizer(find_folder(folder), 32)


@pytest.mark.parametrize(
    "name", ["BertTokenizer", "BertTokenizerFast", "PreTrainedTokenizerFast", "MyTokenizer", None]
)
def test_classes_that_are(folder, expected, name):
    change(folder / "tokenizer_config.json", tokenizer_class=name)
    assert_array_equal(embeddings(folder), expected)


def test_fixed_lengths_of_a_tokenizer_are_not_kept(folder, expected):
    change(
        folder / "tokenizer.json",
        padding={
            "strategy": {"Fixed": 10**12},
            "direction": "Right",
            "pad_to_multiple_of": 10**12,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
    )
    change(folder / "tokenizer_config.json", pad_to_multiple_of=10**12, model_max_length=10**30)
    assert_array_equal(embeddings(folder), expected)


def test_a_template_of_endless_special_tokens_is_refused(folder):
    single = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}] * 1000
    change(
        folder / "tokenizer.json",
        post_processor={
            "type": "TemplateProcessing",
            "single": [*single, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]}},
        },
    )
    change(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(ValueError, match=r"max_length=32 leaves no room .* gets 1000 special"):
        load_tokenizer(find_folder(folder), 32)


POOLING = "sentence_transformers.models.Pooling"


def pooling_at(folder, path):
    modules = [{"type": "Transformer", "path": ""}, {"type": POOLING, "path": path}]
    (folder / "modules.json").write_text(json.dumps(modules))


@pytest.mark.parametrize("path", ["../secret", "{secret}", "1_Pooling/../../secret", "link", 3, {}])
def test_pooling_outside_the_folder_is_not_read(folder, path, monkeypatch):
    secret = folder.parent / "secret"
    secret.mkdir()
    (secret / "config.json").write_text('{"pooling_mode": "cls"}')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    pooling_at(folder, path.format(secret=secret) if isinstance(path, str) else path)
    message = "its modules.json cannot be used: it names the path"
    if path == "link":
        (folder / "link").symlink_to(secret)
        message = "leads out of the model's folder"
    with traps(monkeypatch, secret / "config.json"), pytest.raises(ValueError, match=message):
        load(folder)


@pytest.mark.parametrize(
    "modules", [{}, [3], [{}], [{"type": 1, "path": ""}], [{"type": "Pooling"}]]
)
def test_modules_that_are_malformed(folder, modules):
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match=r"its modules\.json cannot be used"):
        load(folder)


@pytest.mark.parametrize(
    ("kind", "claim"),
    [
        ("bert", {"num_hidden_layers": 10_000_000}),
        ("bert", {"num_hidden_layers": 900}),
        ("bert", {"max_position_embeddings": 10**12}),
        ("bert", {"vocab_size": 10**9}),
        ("bert", {"vocab_size": 10**12}),
        ("bert", {"hidden_size": 10**9, "num_attention_heads": 1}),
        ("bert", {"intermediate_size": 10**9}),
        ("bert", {"intermediate_size": 10**18}),
        ("bert", {"intermediate_size": 10**30}),
        ("bert", {"type_vocab_size": 10**9}),
        ("bert", {"num_labels": 10**9}),
        ("bert", {"vocab_size": 150}),
        ("distilbert", {"n_layers": 10**9}),
        ("distilbert", {"max_position_embeddings": 10**9, "sinusoidal_pos_embds": True}),
        ("modernbert", {"num_hidden_layers": 10**9, "layer_types": None}),
        ("deberta-v2", {"position_buckets": 10**9}),
        ("deberta-v2", {"max_relative_positions": 10**12}),
        ("roberta", {"max_position_embeddings": 10**10}),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else "{}={}".format(*next(iter(value.items())))
    ),
)
def test_sizes_that_the_weights_do_not_back(tmp_path, kind, claim):
    resource = pytest.importorskip("resource")
    folder = tiny_encoder(tmp_path / kind, kind)
    load(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    change(folder / "config.json", **claim)
    name, value = next(iter(claim.items()))
    with pytest.raises(ValueError, match=rf"config\.json.*({name}|{value}|shape).*weights|weights"):
        load_network(find_folder(folder))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 400_000  # kB
    clear_sessions()


def test_errors_of_sizes_say_what_is_claimed_and_held(folder):
    for claim, message in [
        ({"num_hidden_layers": 10**7}, "config.json cannot be used: it claims num_hidden_layers="
         "10000000, but the weights hold 39 tensors"),
        ({"num_hidden_layers": 2, "vocab_size": 10**9}, "its weights cannot be used: the weights "
         "hold 39 tensors of .*, but config.json claims more, .*vocab_size=1000000000"),
        ({"vocab_size": 150}, "config.json claims 'embeddings.word_embeddings.weight' of shape "
         r"\(150, 32\), but the weights hold \(92, 32\)"),
    ]:  # fmt: skip
        change(folder / "config.json", **claim)
        with pytest.raises(ValueError, match=message):
            load_network(find_folder(folder))


def test_no_values_are_drawn_for_what_the_weights_lack(tmp_path, monkeypatch):
    folder = tiny_encoder(tmp_path / "distilbert", "distilbert")
    drawn = []
    real = transformers.DistilBertModel._init_weights

    def draw(self, module):
        drawn.append(type(module).__name__)
        return real(self, module)

    monkeypatch.setattr(transformers.DistilBertModel, "_init_weights", draw)
    load_network(find_folder(folder))
    assert drawn
    drawn.clear()
    change(folder / "config.json", max_position_embeddings=100_000, sinusoidal_pos_embds=True)
    with pytest.raises(ValueError, match=r"position_embeddings.weight' of shape \(100000, 32\)"):
        load_network(find_folder(folder))
    assert drawn == []


def phobert(folder):
    """A tokenizer written in Python, of files with names of their own."""
    for path in folder.glob("*token*"):
        path.unlink()
    (folder / "vocab.txt").write_text("a@@ 1\nb 1\ng@@ 1\no@@ 1\nd 1\n")
    (folder / "bpe.codes").write_text("a b 1\ng o 1\n")
    change(folder / "tokenizer_config.json", tokenizer_class="PhobertTokenizer")
    return folder


def test_tokenizers_written_in_python_load(folder):
    tokenizer = load_tokenizer(find_folder(phobert(folder)), 32)
    own = transformers.AutoTokenizer.from_pretrained(folder)
    assert type(own).__name__ == "PhobertTokenizer"
    made = tokenizer.encode([X], 1).ids
    assert [list(row) for row in made] == [own(text)["input_ids"] for text in X]


def test_other_threads_may_make_networks_of_any_size(folder):
    change(folder / "config.json", vocab_size=10**9)
    made = []

    def work():
        with torch.device("meta"):
            made.extend(torch.nn.Linear(10**6, 10**6).weight.numel() for _ in range(50))

    thread = threading.Thread(target=work)
    thread.start()
    with pytest.raises(ValueError, match="vocab_size"):
        load_network(find_folder(folder))
    thread.join()
    assert made == [10**12] * 50


def test_a_pooler_may_be_missing_and_more_be_there(folder, expected):
    state = load_file(folder / "model.safetensors")
    state = {k: t for k, t in state.items() if not k.startswith("pooler")}
    state |= {"lm_head.weight": torch.zeros(9, 3), "half": torch.zeros(2, dtype=torch.float16)}
    save_file(state, folder / "model.safetensors")
    assert_array_equal(embeddings(folder), expected)


@pytest.mark.parametrize("dtype", [torch.bool, torch.complex64, torch.float8_e4m3fn, torch.uint16])
def test_odd_types_of_tensors_give_a_network_or_an_error(folder, dtype):
    path = folder / "model.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in load_file(path).items()}, path)
    try:
        network = load_network(find_folder(folder))
    except ValueError:
        return
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


def test_a_tensor_in_two_files(folder):
    names = sorted(load_file(folder / "model.safetensors"))
    shards(folder, {"a.safetensors": names[:20], "b.safetensors": names[19:]})
    with pytest.raises(ValueError, match=r"b\.safetensors holds .* another file"):
        load(folder)


def test_the_cache_of_hugging_face_loads_pickles_and_clones(encoder, expected, tmp_path):
    cached = in_cache(encoder, tmp_path)
    assert_array_equal(embeddings(cached), expected)
    made = TextEncoder(cached, max_length=32, precision="float32")
    wanted = TextEncoder(encoder, max_length=32, precision="float32").transform(X)
    data = pickle.dumps(made)
    assert_array_equal(clone(made).transform(X), wanted)
    shutil.rmtree(tmp_path)
    clear_sessions()
    assert_array_equal(pickle.loads(data).transform(X), wanted)


def test_a_pickle_of_trained_weights_is_checked_in_the_same_way(folder):
    fast = {"max_epochs": 1, "max_length": 32, "precision": "float32", "random_state": 0}
    clf = TextClassifier(folder, embed_model=False, **fast).fit(X, [0, 1, 0, 1])
    expected = clf.predict_proba(X)
    loaded = pickle.loads(pickle.dumps(clf))
    assert_array_equal(loaded.predict_proba(X), expected)
    change_pickled = pickle.loads(pickle.dumps(clf))
    files = change_pickled._predictor.network.content.data
    files["config.json"] = json.dumps(json.loads(files["config.json"]) | {"vocab_size": 10**9})
    files["config.json"] = files["config.json"].encode()
    with pytest.raises(ValueError, match=r"the model in the pickle: .*vocab_size=1000000000"):
        change_pickled._predictor.network._load()


def test_other_models_of_transformers_are_untouched(folder):
    """The clearing changes only a copy."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    change(folder / "config.json", use_cache=False)
    load(folder)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.keys() == after.keys()
    config = transformers.AutoConfig.from_pretrained(folder)
    assert config.use_cache is False


ODD = [
    *(None, True, -1, 0, 1, 7, 10**9, 10**12, 10**30, 0.5, float("nan"), float("inf"), "", "x"),
    *("../x", "/etc/passwd", "org/repo:f", "\ud800", [], [1], ["x"], [[]], {}, {"a": 1}),
    *({"model_type": "timm_wrapper"}, {"0": None}, [None], "gelu", "float16", {"": "org/repo"}),
]
FILES = {
    "config.json": [
        *("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"),
        *("intermediate_size", "max_position_embeddings", "hidden_act", "layer_norm_eps"),
        *("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "id2label"),
        *("label2id", "pad_token_id", "type_vocab_size", "is_decoder", "is_encoder_decoder"),
        *("problem_type", "chunk_size_feed_forward", "architectures", "classifier_dropout"),
        *("attn_implementation", "text_config", "per_layer_config", "pruned_heads", "rope_scaling"),
        *("tokenizer_class", "num_labels", "gradient_checkpointing", "tie_word_embeddings"),
    ],
    "tokenizer_config.json": [
        *("tokenizer_class", "added_tokens_decoder", "cls_token", "unk_token", "model_max_length"),
        *("extra_special_tokens", "additional_special_tokens", "do_lower_case", "strip_accents"),
        *("model_input_names", "padding_side", "init_inputs", "backend", "fast_tokenizer_files"),
        *("sp_model_kwargs", "never_split", "tokenize_chinese_chars", "truncation_side", "vocab"),
    ],
    "special_tokens_map.json": ["cls_token", "pad_token", "extra_special_tokens", "vocab_file"],
    "modules.json": ["path", "type", "name", "idx"],
}
CHANGES = st.sampled_from(sorted(FILES)).flatmap(
    lambda file: st.tuples(
        st.just(file), st.sampled_from(FILES[file]), st.sampled_from(ODD), st.integers(0, 9)
    )
)


@pytest.fixture(scope="module")
def with_pooling(encoder, tmp_path_factory):
    folder = shutil.copytree(encoder, tmp_path_factory.mktemp("fuzz") / "model")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')
    pooling_at(folder, "1_Pooling")
    return folder


@pytest.mark.slow
@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.lists(CHANGES, min_size=1, max_size=2))
def test_odd_values_give_a_network_or_a_named_error(with_pooling, changes):
    with tempfile.TemporaryDirectory() as parent:
        folder = shutil.copytree(with_pooling, Path(parent, "model"))
        for file, key, value, place in changes:
            path = folder / file
            asked = json.loads(path.read_text()) if path.exists() else {}
            # in the place of the whole file, once in a while
            if place == 9:
                asked = value
            else:
                inside = asked[place % len(asked)] if isinstance(asked, list) and asked else asked
                if isinstance(inside, dict):
                    inside[key] = value
            path.write_text(json.dumps(asked))
        content = find_folder(folder)
        for make in (load_network, lambda content: load_tokenizer(content, 32)):
            with contextlib.suppress(ValueError, FileNotFoundError):
                make(content)
