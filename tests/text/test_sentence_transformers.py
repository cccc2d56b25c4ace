"""Folders of sentence-transformers, compared with its own `encode`."""

import json
import pickle
import shutil

import numpy as np
import pytest
import tokenizers
import torch
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import load_file, save_file

from sklearn_dl import SentenceSimilarityRegressor, TextClassifier, TextEncoder, clear_sessions
from sklearn_dl.models._folder import find_folder
from tests.text.tiny_encoders import VOCABULARY, tiny_bert

sentence_transformers = pytest.importorskip("sentence_transformers")
modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
Dense = pytest.importorskip("sentence_transformers.base.modules").Dense

X = ["a good film", "the bad book", "fine", "Poor Plot xyz and very old music in the tree"] * 2
Y = ["p", "n", "p", "n"] * 2
PAIRS = list(zip(X, X[1:] + X[:1], strict=True))
QUICK = {"max_epochs": 1, "max_length": 32, "precision": "float32", "random_state": 0}


@pytest.fixture(autouse=True)
def _same_weights():
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        yield


def saved(folder, first, *others, **options):
    model = sentence_transformers.SentenceTransformer(
        modules=[first, *others], device="cpu", **options
    )
    model.save(str(folder), create_model_card=False)
    return folder


@pytest.fixture
def transformer(tmp_path):
    return modules.Transformer(str(tiny_bert(tmp_path / "bert")))


def static(dim=16):
    vocabulary = {token: number for number, token in enumerate(VOCABULARY)}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.Lowercase()
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return modules.StaticEmbedding(made, embedding_dim=dim)


def encoder(folder, **params):
    return TextEncoder(folder, **{"max_length": 32, "precision": "float32"} | params)


def assert_as_encoded(folder, width, texts=X):
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(texts)
    made = encoder(folder)
    ours = made.transform(texts)
    assert ours.shape == (len(texts), width)
    assert_allclose(ours, theirs, atol=2e-5)
    assert len(made.get_feature_names_out()) == width
    loaded = pickle.loads(pickle.dumps(made))
    by_name = pickle.loads(pickle.dumps(made.set_params(embed_model=False)))
    clear_sessions()
    assert_array_equal(by_name.transform(texts), ours)
    shutil.rmtree(folder)
    clear_sessions()
    assert_array_equal(loaded.transform(texts), ours)


POOLINGS = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


@pytest.mark.parametrize(
    "mode", [*POOLINGS, ("mean", "cls"), ("lasttoken", "weightedmean")], ids=str
)
def test_each_pooling(transformer, tmp_path, mode):
    folder = saved(tmp_path / "st", transformer, modules.Pooling(32, mode))
    assert_as_encoded(folder, 32 if isinstance(mode, str) else 64)


@pytest.mark.parametrize(
    ("config", "width"),
    [
        ({"pooling_mode_weightedmean_tokens": True, "pooling_mode_mean_tokens": False}, 32),
        ({"pooling_mode_lasttoken": True}, 32),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, 64),
        ({"pooling_mode_mean_sqrt_len_tokens": True, "pooling_mode_max_tokens": True}, 64),
        ({"pooling_mode_mean_tokens": False}, 32),
        ({}, 32),
    ],
    ids=["weightedmean", "lasttoken", "mean and cls", "mean_sqrt_len and max", "none", "default"],
)
def test_poolings_as_older_versions_wrote_them(transformer, tmp_path, config, width):
    folder = saved(tmp_path / "st", transformer, modules.Pooling(32))
    path = folder / "1_Pooling" / "config.json"
    path.write_text(json.dumps({"word_embedding_dimension": 32, **config}))
    assert_as_encoded(folder, width)


def layers(kind):
    identity, normalize = torch.nn.Identity(), modules.Normalize
    return {
        "tanh": [Dense(32, 8)],
        "no bias": [Dense(32, 8, bias=False, activation_function=identity)],
        "two": [Dense(32, 8), Dense(8, 12, activation_function=torch.nn.GELU())],
        "residual": [Dense(32, 8, use_residual=True)],
        "equal residual": [Dense(32, 32, use_residual=True)],
        "normalized": [Dense(32, 8), normalize()],
        "normalized before": [normalize(), Dense(32, 8)],
        "layer norm": [modules.LayerNorm(32), modules.Dropout(0.5), Dense(32, 8)],
    }[kind]


@pytest.mark.parametrize(
    ("kind", "width"),
    [
        *(("tanh", 8), ("no bias", 8), ("two", 12), ("residual", 8), ("equal residual", 32)),
        *(("normalized", 8), ("normalized before", 8), ("layer norm", 8)),
    ],
)
def test_layers_behind_the_pooling(transformer, tmp_path, kind, width):
    folder = saved(tmp_path / "st", transformer, modules.Pooling(32), *layers(kind))
    assert_as_encoded(folder, width)


@pytest.mark.parametrize(
    "options",
    [
        {"prompts": {"document": "fine music "}, "default_prompt_name": "document"},
        {"prompts": {"a": "red ", "b": "blue cat: "}, "default_prompt_name": "b"},
        {"prompts": {"query": "red ", "document": "blue "}},
        {"default_prompt_name": "query"},
    ],
    ids=["one", "two", "none by default", "one that is missing"],
)
def test_the_default_prompt_is_read_before_each_text(transformer, tmp_path, options):
    folder = saved(tmp_path / "st", transformer, modules.Pooling(32), **options)
    assert_as_encoded(folder, 32)


def test_a_prompt_leaves_room_for_the_text(transformer, tmp_path):
    options = {"prompts": {"a": "red green blue "}, "default_prompt_name": "a"}
    folder = saved(tmp_path / "st", transformer, modules.Pooling(32), **options)
    with pytest.raises(
        ValueError, match=r"max_length=6 leaves no room .* and 3 tokens of the default pro"
    ):
        encoder(folder, max_length=6).transform(X)


def test_estimators_read_the_prompt_before_single_texts(transformer, tmp_path):
    options = {"prompts": {"a": "red green "}, "default_prompt_name": "a"}
    folder = saved(tmp_path / "st", transformer, modules.Pooling(32), **options)
    expected = encoder(folder).transform(X)
    frozen = TextClassifier(folder, trainable_layers=0, **QUICK).fit(X, Y)
    assert_allclose(frozen.embed(X), expected, atol=1e-6)
    cosine = SentenceSimilarityRegressor(folder, **QUICK | {"max_epochs": 0}).fit(PAIRS)
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    assert_allclose(cosine.predict(PAIRS), (unit * np.roll(unit, -1, axis=0)).sum(1), atol=1e-6)


def test_do_lower_case_of_a_tokenizer_that_keeps_cases(tmp_path):
    folder = tiny_bert(tmp_path / "bert")
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["normalizer"]["lowercase"] = False
    path.write_text(json.dumps(tokenizer))
    made = modules.Transformer(str(folder), do_lower_case=True)
    saved(tmp_path / "st", made, modules.Pooling(32))
    config = tmp_path / "st" / "sentence_bert_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"do_lower_case": True}))
    # what was saved has the step already: as it is in folders of older versions
    shutil.copy(path, tmp_path / "st" / "tokenizer.json")
    assert_as_encoded(tmp_path / "st", 32, ["Good Film", "THE bad book", "fine"])


@pytest.mark.parametrize(
    "others",
    [[], [modules.Normalize()], [Dense(16, 4)]],
    ids=["alone", "normalized", "with a layer"],
)
def test_static_embeddings(tmp_path, others):
    folder = saved(tmp_path / "st", static(), *others)
    width = 4 if others and isinstance(others[0], Dense) else 16
    assert_as_encoded(folder, width, [*X, "", "xyz " * 3])


def test_static_embeddings_in_a_folder_of_their_own(tmp_path):
    folder = saved(tmp_path / "st", static())
    (folder / "0_StaticEmbedding").mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).rename(folder / "0_StaticEmbedding" / name)
    kinds = json.loads((folder / "modules.json").read_text())
    kinds[0]["path"] = "0_StaticEmbedding"
    (folder / "modules.json").write_text(json.dumps(kinds))
    assert_as_encoded(folder, 16)


def test_static_embeddings_as_model2vec_saves_them(tmp_path):
    folder = saved(tmp_path / "st", static(), modules.Normalize())
    table = load_file(folder / "model.safetensors")["embedding.weight"]
    state = {
        "embeddings": table[:20].clone(),
        "mapping": torch.arange(len(table)) % 20,
        "weights": torch.rand(len(table)),
    }
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "model2vec", "normalize": true}')
    kinds = json.loads((folder / "modules.json").read_text())
    kinds[0]["path"] = "."
    (folder / "modules.json").write_text(json.dumps(kinds))
    assert_as_encoded(folder, 16)


@pytest.mark.parametrize("kind", ["dense", "static"])
@pytest.mark.parametrize("trainable_layers", ["all", 1, 0])
def test_what_follows_the_pooling_is_trained_and_pickled(
    transformer, tmp_path, kind, trainable_layers
):
    if kind == "dense":
        parts = [transformer, modules.Pooling(32, ("mean", "cls")), Dense(64, 8)]
    else:
        parts = [static(), Dense(16, 8)]
    folder = saved(tmp_path / "st", *parts)
    clf = TextClassifier(folder, trainable_layers=trainable_layers, **QUICK)
    if kind == "static" and trainable_layers == 1:
        with pytest.raises(ValueError, match="trainable_layers=1, but the encoder has 0 layers"):
            clf.fit(X, Y)
        return
    clf.fit(X, Y)
    assert clf.embed(X).shape == (8, 8)
    assert (np.abs(clf.embed(X) - encoder(folder).transform(X)).max() > 1e-5) == clf._trains()
    expected = clf.predict_proba(X)
    data = pickle.dumps(clf)
    shutil.rmtree(folder)
    clear_sessions()
    assert_array_equal(pickle.loads(data).predict_proba(X), expected)


def test_a_static_embedding_does_not_read_pairs_together(tmp_path):
    folder = saved(tmp_path / "st", static())
    with pytest.raises(ValueError, match="cannot read two texts together: set trainable_layers=0"):
        TextClassifier(folder, **QUICK).fit(PAIRS, Y)
    frozen = TextClassifier(folder, trainable_layers=0, **QUICK).fit(PAIRS, Y)
    assert frozen.embed(PAIRS).shape == (8, 64)


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def module(folder, number, **values):
    path = folder / "modules.json"
    kinds = json.loads(path.read_text())
    kinds[number] |= values
    path.write_text(json.dumps(kinds))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(
            lambda f: module(f, 1, type="code.Pooling"),
            "'code.Pooling' is not supported: code",
            id="code of its own",
        ),
        pytest.param(
            lambda f: module(f, 1, type="sentence_transformers.models.LSTM"),
            "'LSTM'.*not supported",
            id="unknown module",
        ),
        pytest.param(
            lambda f: module(f, 0, type="sentence_transformers.models.BoW"),
            "first module is 'BoW'",
            id="unknown first module",
        ),
        pytest.param(
            lambda f: module(f, 0, path="0_Transformer"),
            "must lie in the folder itself",
            id="encoder in a folder",
        ),
        pytest.param(
            lambda f: module(f, 2, path="../2_Dense"),
            "to a folder directly inside .* must contain config.json",
            id="path out of the folder",
        ),
        pytest.param(
            lambda f: module(f, 2, path=[1]),
            "modules.json cannot be used",
            id="path that is a list",
        ),
        pytest.param(
            lambda f: (f / "modules.json").write_text("[]"), "first module is None", id="no modules"
        ),
        pytest.param(
            lambda f: (f / "modules.json").write_text("[" * 9999),
            "is not JSON",
            id="nested too deep",
        ),
        pytest.param(
            lambda f: (f / "modules.json").write_bytes(b"\xff"), "is not JSON", id="not UTF-8"
        ),
        pytest.param(
            lambda f: (f / "modules.json").write_text("[1]"),
            "modules.json cannot be used",
            id="module that is a number",
        ),
        pytest.param(
            lambda f: (f / "2_Dense/model.safetensors").unlink(),
            "'2_Dense' has no model.safetenso",
            id="no weights",
        ),
        pytest.param(
            lambda f: (f / "2_Dense/model.safetensors").write_bytes(b"x"),
            "safetensors is damaged",
            id="damaged weights",
        ),
        pytest.param(
            lambda f: save_file({}, f / "2_Dense/model.safetensors"),
            "modules.json cannot be used",
            id="empty weights",
        ),
        pytest.param(
            lambda f: save_file(
                {"linear.weight": torch.ones(8, 16)}, f / "2_Dense/model.safetensors"
            ),
            "claims in_features=32 and out_features=8, but the weights are for 16 and 8",
            id="weights of another size",
        ),
        pytest.param(
            lambda f: change(f / "2_Dense/config.json", in_features=10**9),
            "claims in_features=1000000000 and out_features=8",
            id="config of another size",
        ),
        pytest.param(
            lambda f: change(f / "2_Dense/config.json", activation_function="os.system"),
            "'os.system' of '2_Dense' is not supported",
            id="function as activation",
        ),
        pytest.param(
            lambda f: change(f / "2_Dense/config.json", activation_function="torch.nn.Module"),
            "'torch.nn.Module' of '2_Dense' is not supported",
            id="class that is no activation",
        ),
        pytest.param(
            lambda f: change(f / "2_Dense/config.json", module_input_name="token_embeddings"),
            "module_input_name='token_embeddings' is not supported",
            id="reads tokens",
        ),
        pytest.param(
            lambda f: change(f / "1_Pooling/config.json", pooling_mode="sum"),
            "pooling is 'sum'",
            id="unknown pooling",
        ),
        pytest.param(
            lambda f: change(f / "1_Pooling/config.json", pooling_mode=7),
            "modules.json cannot be",
            id="pooling that is a number",
        ),
        pytest.param(
            lambda f: change(f / "config_sentence_transformers.json", default_prompt_name="none"),
            "names the default prompt 'none', but its prompts are",
            id="unknown prompt",
        ),
        pytest.param(
            lambda f: change(
                f / "config_sentence_transformers.json",
                default_prompt_name="a",
                prompts={"a": ["x"]},
            ),
            r"has the prompt \['x'\]; it must be a string",
            id="prompt that is a list",
        ),
        pytest.param(
            lambda f: change(f / "config_sentence_transformers.json", truncate_dim=4),
            "truncate_dim=4 in config_sentence_transformers.json is not supported",
            id="truncated embeddings",
        ),
        pytest.param(
            lambda f: change(f / "sentence_bert_config.json", transformer_task="fill-mask"),
            "transformer_task='fill-mask'",
            id="another task",
        ),
        pytest.param(
            lambda f: change(f / "sentence_bert_config.json", tokenizer_args={"stride": 3}),
            "asks for 'stride' in tokenizer_args",
            id="tokenizer with a stride",
        ),
    ],
)
def test_what_would_give_other_embeddings_is_refused(transformer, tmp_path, damage, message):
    folder = saved(tmp_path / "st", transformer, modules.Pooling(32), Dense(32, 8))
    damage(folder)
    with pytest.raises(ValueError, match=rf"(?s){folder}: .*{message}") as caught:
        encoder(folder).transform(X)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        pytest.param(
            lambda f: (f / "model.safetensors").unlink(),
            FileNotFoundError,
            "has no model.safetens",
            id="no weights",
        ),
        pytest.param(
            lambda f: (f / "tokenizer.json").unlink(),
            ValueError,
            "to a folder directly inside .* must contain tokenizer.json",
            id="no tokenizer",
        ),
        pytest.param(
            lambda f: (f / "tokenizer.json").write_text("{"),
            ValueError,
            "tokenizer cannot be used",
            id="tokenizer that is not JSON",
        ),
        pytest.param(
            lambda f: (f / "tokenizer.json").write_bytes(b"\xff"),
            ValueError,
            "tokenizer cannot be",
            id="tokenizer that is not UTF-8",
        ),
        pytest.param(
            lambda f: save_file({}, f / "model.safetensors"),
            ValueError,
            "weights cannot be used",
            id="empty weights",
        ),
        pytest.param(
            lambda f: save_file({"embedding.weight": torch.ones(9, 2)}, f / "model.safetensors"),
            ValueError,
            r"has \d+ tokens, but the encoder knows only 9",
            id="fewer embeddings than tokens",
        ),
        pytest.param(
            lambda f: save_file(
                {"embeddings": torch.ones(9, 2), "mapping": torch.tensor([99])},
                f / "model.safetensors",
            ),
            ValueError,
            "weights cannot be used",
            id="mapping out of the table",
        ),
    ],
)
def test_damaged_static_embeddings(tmp_path, damage, error, message):
    folder = saved(tmp_path / "st", static())
    damage(folder)
    with pytest.raises(error, match=rf"(?s){folder}.*{message}"):
        encoder(folder).transform(X)


def test_the_hash_of_a_folder_covers_the_layers(transformer, tmp_path):
    folder = saved(tmp_path / "st", transformer, modules.Pooling(32), Dense(32, 8))
    before = find_folder(folder).sha256
    state = load_file(folder / "2_Dense" / "model.safetensors")
    state["linear.weight"][0, 0] += 1
    save_file(state, folder / "2_Dense" / "model.safetensors")
    assert find_folder(folder).sha256 != before
