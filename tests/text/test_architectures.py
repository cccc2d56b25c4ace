import json
import pickle
import shutil

import numpy as np
import pytest
import torch
import transformers
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import load_file, save_file

from sklearn_dl import SentenceSimilarityRegressor, TextClassifier, TextEncoder, clear_sessions
from sklearn_dl.models import HubSource, ModelNotAvailableError, _registry, register_model
from tests.text.tiny_encoders import KINDS, tiny_bert, tiny_encoder

X = ["a good film", "the bad book", "fine music", "poor plot xyz"] * 4
Y = ["p", "n", "p", "n"] * 4
PAIRS = list(zip(X, X[1:] + X[:1], strict=True))
QUICK = {"max_epochs": 1, "max_length": 32, "precision": "float32", "random_state": 0}


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    root = tmp_path_factory.mktemp("kinds")
    return {kind: str(tiny_encoder(root / kind, kind)) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_each_family_fits_predicts_embeds_and_pickles(encoders, kind, capfd):
    clf = TextClassifier(encoders[kind], **QUICK).fit(X, Y)
    probabilities = clf.predict_proba(X)
    assert_allclose(probabilities[:4], [clf.predict_proba([x])[0] for x in X[:4]], atol=1e-6)
    assert (probabilities.argmax(1) == (np.array(Y) == "p")).all()
    assert clf.embed(X).shape == (16, 32)
    assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), probabilities)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", KINDS)
def test_each_family_reads_pairs_and_trains_its_last_layer(encoders, kind):
    clf = TextClassifier(encoders[kind], trainable_layers=1, **QUICK).fit(PAIRS, Y)
    trained = {n for n, p in clf._predictor.network.live.named_parameters() if p.requires_grad}
    assert {name for name in trained if not name.startswith("head.")}
    assert not any("embeddings" in name or ".0." in name for name in trained)
    regressor = SentenceSimilarityRegressor(encoders[kind], architecture="cross-encoder", **QUICK)
    assert np.isfinite(regressor.fit(PAIRS, np.arange(16)).predict(PAIRS)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_are_those_of_transformers_own_call(encoders, kind):
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoders[kind])
    model = transformers.AutoModel.from_pretrained(encoders[kind]).eval()
    with torch.no_grad():
        batch = tokenizer(X, padding=True, return_tensors="pt")
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    expected = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
    made = TextEncoder(encoders[kind], max_length=32, precision="float32").transform(X)
    assert_allclose(made, expected, atol=2e-5)


def save(folder, model_class, **config):
    model_class(model_class.config_class(**config)).save_pretrained(folder)


def t5(folder):
    save(folder, transformers.T5Model, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)


def bart(folder):
    sizes = {f"{part}_{name}": 1 for part in ("encoder", "decoder") for name in ("layers",)}
    heads = {f"{part}_attention_heads": 2 for part in ("encoder", "decoder")}
    save(folder, transformers.BartModel, d_model=16, vocab_size=100, **sizes, **heads)


def gpt2(folder):
    save(folder, transformers.GPT2Model, n_embd=16, n_layer=1, n_head=2, vocab_size=100)


def vit(folder):
    save(folder, transformers.ViTModel, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)


def bert_as_decoder(folder):
    tiny_bert(folder, is_decoder=True)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(t5, "'t5' is an encoder-decoder", id="t5"),
        pytest.param(bart, "'bart' is an encoder-decoder", id="bart"),
        pytest.param(gpt2, "'gpt2' is not an encoder of text", id="gpt2"),
        pytest.param(vit, "'vit' is not an encoder of text", id="vit"),
        pytest.param(bert_as_decoder, "'bert' is a decoder", id="bert as decoder"),
    ],
)
def test_what_is_not_a_text_encoder_is_refused(folder, build, message, capfd):
    (folder / "config.json").unlink()
    build(folder)
    capfd.readouterr()
    for estimator in (
        TextEncoder(folder),
        TextClassifier(folder),
        TextClassifier(folder, trainable_layers=0),
    ):
        with pytest.raises(ValueError, match=rf"{folder}: {message}\. Set `model` to a text"):
            estimator.fit(X, Y).transform(X)
    assert capfd.readouterr() == ("", "")


def weights(folder):
    return folder / "model.safetensors"


def bin_only(folder):
    torch.save(load_file(weights(folder)), folder / "pytorch_model.bin")
    weights(folder).unlink()


def truncate(folder):
    data = weights(folder).read_bytes()
    weights(folder).write_bytes(data[: len(data) // 2])


def no_safetensors(folder):
    weights(folder).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")


def drop_tensors(folder):
    state = load_file(weights(folder))
    save_file({k: v for k, v in state.items() if "layer.1." not in k}, weights(folder))


def of_another_size(folder):
    change(folder / "config.json", hidden_size=16)


def no_tokenizer(folder):
    for path in folder.glob("*token*"):
        path.unlink()
    (folder / "vocab.txt").unlink(missing_ok=True)


def broken_tokenizer(folder):
    (folder / "tokenizer.json").write_text('{"version": "1.0"')


def small_vocabulary(folder):
    state = load_file(weights(folder))
    name = "embeddings.word_embeddings.weight"
    state[name] = state[name][:50].clone()
    save_file(state, weights(folder))
    change(folder / "config.json", vocab_size=50)


def remote_code(folder):
    change(folder / "config.json", model_type="mine", auto_map={"AutoConfig": "code.Config"})
    (folder / "code.py").write_text("raise SystemExit('this code was run')")


def unknown_type(folder):
    change(folder / "config.json", model_type="mine")


def broken_config(folder):
    (folder / "config.json").write_text("{")


def no_config(folder):
    (folder / "config.json").unlink()


def no_weights(folder):
    weights(folder).unlink()


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


DAMAGES = {
    bin_only: (ValueError, "its weights only in pytorch_model.bin.*save_pretrained"),
    truncate: (ValueError, "model.safetensors is damaged"),
    no_safetensors: (ValueError, "model.safetensors is a Git LFS pointer"),
    drop_tensors: (ValueError, r"lack 16 of the encoder's tensors, such as 'encoder.layer.1"),
    of_another_size: (ValueError, "its weights cannot be used"),
    no_tokenizer: (FileNotFoundError, "has no tokenizer: tokenizer.json"),
    broken_tokenizer: (ValueError, "its tokenizer cannot be used"),
    small_vocabulary: (ValueError, r"the tokenizer has \d+ tokens, but the encoder knows only 50"),
    remote_code: (ValueError, "its config.json cannot be used"),
    unknown_type: (ValueError, "its config.json cannot be used"),
    broken_config: (ValueError, "its config.json cannot be used"),
    no_config: (FileNotFoundError, "has no config.json"),
    no_weights: (FileNotFoundError, "has no model.safetensors"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_named(folder, damage, capfd):
    error, message = DAMAGES[damage]
    damage(folder)
    capfd.readouterr()
    for estimator in (
        TextClassifier(folder, **QUICK),
        TextClassifier(folder, trainable_layers=0, max_length=32),
        TextEncoder(folder, max_length=32),
    ):
        clear_sessions()
        with pytest.raises(error, match=rf"(?s)^(model folder )?{folder}.*{message}") as caught:
            estimator.fit(X, Y).transform(X)
        assert len(str(caught.value)) < 2000
        assert not hasattr(estimator, "classes_")
    assert capfd.readouterr() == ("", "")


def test_auto_map_of_a_known_type_runs_no_code(folder):
    remote_code(folder)
    change(folder / "config.json", model_type="bert")
    expected = TextEncoder(folder, max_length=32).transform(X)
    assert expected.shape == (16, 32)


def test_a_file_is_not_an_encoder(encoder):
    with pytest.raises(ValueError, match=r"is a file; an encoder is a folder with config\.json"):
        TextEncoder(f"{encoder}/model.safetensors").transform(X)


def test_weights_in_several_files(folder, encoder):
    state = load_file(weights(folder))
    names = sorted(state)
    files = {name: f"model-0000{1 + (i > 10)}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        save_file({n: t for n, t in state.items() if files[n] == file}, folder / file)
    weights(folder).unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": files}))
    made = TextEncoder(folder, max_length=32)
    assert_array_equal(made.transform(X), TextEncoder(encoder, max_length=32).transform(X))
    loaded = pickle.loads(pickle.dumps(made))
    shutil.rmtree(folder)
    clear_sessions()
    assert_array_equal(loaded.transform(X), TextEncoder(encoder, max_length=32).transform(X))


def test_a_missing_part_of_the_weights_is_named(folder):
    weights(folder).unlink()
    index = {"weight_map": {"a": "../model-1.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(FileNotFoundError, match=r"has no \.\./model-1\.safetensors, which"):
        TextEncoder(folder).transform(X)


def pool(folder, normalize=False, **config):
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling")]
    kinds += [("Normalize", "2_Normalize")] if normalize else []
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("config", "reduce"),
    [
        (
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
            lambda hidden: hidden[0],
        ),
        ({"pooling_mode_max_tokens": True}, lambda hidden: hidden.max(0)),
        ({"pooling_mode_mean_tokens": True}, lambda hidden: hidden.mean(0)),
        ({"pooling_mode": "cls"}, lambda hidden: hidden[0]),
    ],
    ids=["cls token", "max", "mean", "newer cls"],
)
@pytest.mark.parametrize("normalize", [False, True], ids=["as it is", "normalized"])
def test_pooling_is_the_one_that_the_folder_names(folder, encoder, config, reduce, normalize):
    pool(folder, normalize, **config)
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    model = transformers.AutoModel.from_pretrained(encoder).eval()
    with torch.no_grad():
        rows = [model(**tokenizer(x, return_tensors="pt")).last_hidden_state[0] for x in X]
    expected = np.stack([reduce(row.numpy()) for row in rows])
    if normalize:
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    made = TextEncoder(folder, max_length=32, precision="float32")
    assert_allclose(made.transform(X), expected, atol=2e-5)
    assert_array_equal(pickle.loads(pickle.dumps(made)).transform(X), made.transform(X))


@pytest.mark.parametrize(
    "config",
    [
        {"pooling_mode": "sum"},
        {"pooling_mode": ["mean", "sum"]},
        {"pooling_mode": []},
        {"pooling_mode_sum_of_tokens": True},
    ],
    ids=str,
)
def test_other_pooling_is_refused(folder, config):
    pool(folder, **config)
    with pytest.raises(
        ValueError, match=rf"{folder}: .*the pooling is .*; it must be one or more of"
    ):
        TextEncoder(folder, max_length=32).transform(X)


def test_a_module_that_is_not_supported_is_refused(folder):
    pool(folder, pooling_mode="mean")
    text = (folder / "modules.json").read_text()
    lstm = {"idx": 2, "name": "2", "path": "2_LSTM", "type": "sentence_transformers.models.LSTM"}
    (folder / "modules.json").write_text(json.dumps([*json.loads(text), lstm]))
    with pytest.raises(ValueError, match="a module 'LSTM' in '2_LSTM' is not supported"):
        TextEncoder(folder, max_length=32).transform(X)


def test_a_folder_that_lost_its_pooling_config_is_named(folder):
    pool(folder, pooling_mode="mean")
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(
        ValueError, match=rf"{folder}: its modules.json cannot be used: .*1_Pooling"
    ):
        TextEncoder(folder, max_length=32).transform(X)


@pytest.mark.parametrize(
    ("kind", "longest"), [("bert", 64), ("roberta", 62), ("xlm-roberta", 62), ("mpnet", 62)]
)
def test_more_tokens_than_the_encoder_reads_are_refused(encoders, kind, longest):
    long = ["xyz " * 40]
    with pytest.warns(UserWarning, match="1 of 1 texts are longer"):
        TextEncoder(encoders[kind], max_length=longest).transform(long)
    message = rf"max_length={longest + 1}: the encoder '{encoders[kind]}' reads at most {longest} t"
    clf = TextClassifier(encoders[kind], max_length=longest + 1)
    for call in (
        lambda: TextEncoder(encoders[kind], max_length=longest + 1).transform(long),
        lambda: clf.fit(X, Y),
        lambda: clf.set_params(trainable_layers=0).fit(X, Y),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("max_length", [1, 2, 3])
def test_special_tokens_need_room(encoder, max_length):
    with pytest.raises(
        ValueError,
        match=f"max_length={max_length} leaves no room for a text: each text gets 3 special",
    ):
        TextEncoder(encoder, max_length=max_length).transform(X)


@pytest.mark.parametrize("model", ["./none", "/none/of/these", "a/b/c"])
def test_a_missing_folder_lists_the_registered_models(model):
    message = r"registered models are \['all-minilm-l6-v2'"
    with pytest.raises(FileNotFoundError, match=message) as caught:
        TextClassifier(model).fit(X, Y)
    assert "hub" not in str(caught.value)


def test_a_registered_model_that_is_not_here_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("SKLEARN_DL_HOME", str(tmp_path))
    monkeypatch.setattr(_registry, "_entries", dict(_registry._entries))
    register_model("mine", HubSource("me/mine", "0" * 40), sha256={"config.json": "a" * 64})
    with pytest.raises(ModelNotAvailableError, match="download=True"):
        TextEncoder("mine").transform(X)


def test_a_registered_folder(monkeypatch, tmp_path, encoder):
    from sklearn_dl.models import FolderSource

    monkeypatch.setenv("SKLEARN_DL_HOME", str(tmp_path))
    monkeypatch.setattr(_registry, "_entries", dict(_registry._entries))
    register_model("mine", FolderSource(encoder))
    made, expected = (TextEncoder(m, max_length=32).transform(X) for m in ("mine", encoder))
    assert_array_equal(made, expected)
