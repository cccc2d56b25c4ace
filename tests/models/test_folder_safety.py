"""Small files of a model's folder, read and cleaned without transformers."""

import json
import os
import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

from sklearn_dl.models import _folder_safety as safety
from sklearn_dl.models._folder import FolderContent, find_folder
from tests.models.hostile_folders import header, in_cache

SHAPES = {f"layer.{i}.weight": (4, 4) for i in range(3)} | {"words": (70_000, 4)}


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert"}')
    save_file({"a": np.ones((2, 3), np.float32)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"a": ' * 100_000, "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "is not JSON"),
        (b"[1]", r"holds \[1\]; it must hold an object"),
        (b"null", "holds None; it must hold an object"),
        (b" " * (2**24 + 1), "is larger than 16 MB"),
    ],
    ids=["cut", "lists", "objects", "bytes", "number", "list", "null", "large"],
)
def test_json_that_is_refused(data, message):
    with pytest.raises(ValueError, match=f"^config.json {message}"):
        safety.parse_json(data, "config.json")


def test_a_list_is_asked_for():
    assert safety.parse_json(b'[{"a": 1}]', "modules.json", list) == [{"a": 1}]
    with pytest.raises(ValueError, match=r"modules.json holds \{\}; it must hold a list"):
        safety.parse_json(b"{}", "modules.json", list)


def clean(asked, shapes=SHAPES):
    return safety.clean_config(asked, shapes, {"to_dict", "attribute_map"})


@pytest.mark.parametrize(
    "wrap",
    [lambda c: c, lambda c: {"a": c}, lambda c: {"a": [{"b": c}]}],
    ids=["at the top", "in an object", "in a list"],
)
def test_what_says_how_to_compute_is_cleared_at_every_depth(wrap):
    asked = {
        "attn_implementation": "kernels-community/flash-attn",
        "_attn_implementation": {"": "org/repo:function"},
        "_attn_implementation_internal": "flash_attention_2",
        "experts_implementation": "deepgemm",
        "attribute_map": {"hidden_act": "_attn_implementation_internal"},
        "to_dict": 1,
        "auto_map": {"AutoModel": "code.Model"},
        "dtype": "float16",
        "torch_dtype": "no_such_type",
        "_name_or_path": "someone/model",
        "use_kernels": True,
        "quantization_config": None,
        "hidden_size": 4,
    }
    assert clean(wrap(asked)) == wrap({"hidden_size": 4})


@pytest.mark.parametrize("value", ["eager", "sdpa"])
def test_attention_of_torch_is_kept(value):
    assert clean({"_attn_implementation": value}) == {"_attn_implementation": value}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("quantization_config", {"quant_method": "bitsandbytes"}),
        ("compression_config", {"format": "pack"}),
        ("backbone", "resnet50"),
        ("use_timm_backbone", True),
        ("use_pretrained_backbone", True),
        ("backbone_kwargs", {"pretrained": True}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_be_another_network_is_refused_at_every_depth(key, value):
    for asked in ({key: value}, {"text_config": {key: value}}, {"a": [[{key: value}]]}):
        with pytest.raises(ValueError, match=f"^{key} is refused: .*; pass the folder"):
            clean(asked)


def test_labels_may_be_any_words():
    asked = {"id2label": {"0": "backbone"}, "label2id": {"backbone": 0, "_x": 1, "layers": 5000}}
    assert clean(asked) == asked


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_hidden_layers", 10_000_000),
        ("n_layers", -(10**9)),
        ("num_attention_heads", 10**9),
        ("depths", [1, 1, 10**9]),
        ("depths", [700, 700]),
        ("block_sizes", [[10**30]]),
        ("num_hidden_groups", 2000),
        ("num_labels", 70_001),
        ("vocab_size", 10**30),
    ],
    ids=str,
)
def test_sizes_beyond_the_weights(key, value):
    for asked in ({key: value}, {"vision_config": {key: value}}):
        with pytest.raises(ValueError, match=rf"claims {key}=.*, but the weights hold 4 tensors"):
            clean(asked)


def test_sizes_that_weights_can_have():
    asked = {"num_hidden_layers": 48, "depths": [2, 2, 27, 2], "num_labels": 70_000, "seed": 2**62}
    assert clean(asked) == asked
    many = {f"layer.{i}": (1,) for i in range(5000)}
    assert clean({"num_hidden_layers": 5000}, many) == {"num_hidden_layers": 5000}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 8]}}, "'a' of shape"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 10**9]}}, "the file holds 8"),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 8]}}, "'a' has the shape"),
        ({"a": {"dtype": "F32", "shape": ["2"], "data_offsets": [0, 8]}}, "'a' has the shape"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0]}}, "not enough values"),
        ({"a": {"dtype": "F32", "shape": [2]}}, "data_offsets"),
        ({"a": None}, "not subscriptable"),
        ([], "no attribute|pop"),
        (
            {n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"},
            "its header claims 16 bytes",
        ),
    ],
    ids=[
        "huge shape",
        "beyond the file",
        "negative shape",
        "string in a shape",
        "one offset",
        "no offsets",
        "None",
        "list",
        "overlap",
    ],
)
def test_headers_that_lie(model, tensors, message):
    header(model / "model.safetensors", tensors, b"12345678")
    with pytest.raises(ValueError, match=rf"model\.safetensors is damaged: .*({message})"):
        safety.tensor_shapes(find_folder(model))


@pytest.mark.parametrize(
    "data",
    [b"", b"1234", b"\xff" * 100, b"\x05" + b"\0" * 7 + b"[[[[[", b"\x02" + b"\0" * 9],
    ids=["empty", "short", "long", "cut", "zeros"],
)
def test_files_that_are_not_safetensors(model, data):
    (model / "model.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        safety.tensor_shapes(find_folder(model))


def test_shapes_of_the_folder_and_of_its_pickle(model):
    content = find_folder(model)
    assert safety.tensor_shapes(content) == {"a": (2, 3)}
    assert safety.tensor_shapes(pickle.loads(pickle.dumps(content.for_pickle(True)))) == {
        "a": (2, 3)
    }


def index(model, weight_map):
    (model / "model.safetensors").rename(model / "one.safetensors")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_a_tensor_in_two_files_is_refused(model):
    index(model, {"a": "one.safetensors", "b": "two.safetensors"})
    save_file({"a": np.zeros(1, np.float32)}, model / "two.safetensors")
    with pytest.raises(ValueError, match=r"two\.safetensors holds 'a', which another file holds"):
        safety.tensor_shapes(find_folder(model))


@pytest.mark.parametrize(
    ("weight_map", "error"),
    [
        ({"a": "../model/one.safetensors"}, FileNotFoundError),
        ({"a": "/etc/passwd"}, FileNotFoundError),
        ({"a": "sub/one.safetensors"}, FileNotFoundError),
        ({"a": "x" * 10_000}, FileNotFoundError),
        ({"a": "\0"}, FileNotFoundError),
        ({"a": ""}, FileNotFoundError),
        ({"a": "config.json"}, ValueError),
        ({"a": 1}, ValueError),
        ({"a": ["one.safetensors"]}, ValueError),
        (["one.safetensors"], ValueError),
        (None, ValueError),
    ],
    ids=[
        "dots",
        "absolute",
        "below",
        "long",
        "null character",
        "empty",
        "not weights",
        "number",
        "list of names",
        "list",
        "None",
    ],
)
def test_an_index_names_weights_beside_it_only(model, weight_map, error):
    index(model, weight_map)
    with pytest.raises(error, match=r"model\.safetensors\.index\.json"):
        find_folder(model)


@pytest.mark.parametrize(
    "file",
    ["config.json", "notes.txt", "vocab.txt", "model.safetensors", "1_Pooling/config.json"],
)
def test_links_out_of_the_folder_are_refused(model, tmp_path, file):
    secret = tmp_path / "secret"
    secret.write_text("{}")
    (model / "1_Pooling").mkdir()
    (model / file).unlink(missing_ok=True)
    (model / file).symlink_to(secret)
    with pytest.raises(ValueError, match=rf"{file} leads out of the model's folder"):
        find_folder(model)


def test_a_part_that_is_a_link_to_another_folder_is_refused(model, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    (model / "1_Pooling").symlink_to(tmp_path / "other")
    with pytest.raises(ValueError, match="leads out of the model's folder"):
        find_folder(model)


def test_links_of_the_hugging_face_cache_are_followed(model, tmp_path):
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text("{}")
    cached = find_folder(in_cache(model, tmp_path / "cache"))
    assert cached.sha256 == find_folder(model).sha256
    assert cached.names() == ["1_Pooling/config.json", "config.json", "model.safetensors"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_pipes_and_devices_do_not_hang(model):
    (model / "1_Pooling").mkdir()
    for name in ("vocab.txt", "tokenizer.json", "1_Pooling/config.json", "bpe.codes"):
        os.mkfifo(model / name)
    (model / "merges.txt").symlink_to("/dev/zero")
    content = find_folder(model)
    assert content.tokenizer_names() == content.names() == ["config.json", "model.safetensors"]


def test_an_adapter_is_refused(model):
    (model / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/model"}')
    with pytest.raises(ValueError, match=r"has an adapter .*merge_and_unload"):
        find_folder(model)


def test_arguments_of_tokenizers_that_name_files_or_code_are_cleared():
    names = (
        *("vocab", "merges", "vocab_file", "merges_file", "tokenizer_file", "spm_file"),
        *("added_tokens_file", "special_tokens_map_file", "entity_vocab_file", "cache_dir"),
        *("name_or_path", "gguf_file", "subfolder", "chat_template", "tokenizer_object"),
        *("auto_map", "trust_remote_code", "revision", "token", "_commit_hash"),
    )
    hostile = dict.fromkeys(names, "/etc/passwd")
    kept = {"do_lower_case": True, "cls_token": "[CLS]", "model_max_length": 10**30}
    assert safety.clean_tokenizer_config(hostile | kept, []) == kept
    tokens = {"cls_token": {"content": "[CLS]"}, "additional_special_tokens": ["x"]}
    assert safety.clean_special_tokens(hostile | tokens) == tokens


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"init_inputs": ["/etc/passwd"]}, "init_inputs"),
        ({"sp_model_kwargs": {"model_file": "/etc/passwd"}}, "asks for 'model_file'"),
        ({"mecab_kwargs": {"mecab_option": "-r /tmp/x"}}, "asks for 'mecab_option'"),
        ({"sudachi_kwargs": {"sudachi_config_path": "/tmp/x"}}, "asks for 'sudachi_config_path'"),
        ({"fast_tokenizer_files": ["../tokenizer.4.0.0.json"]}, "fast_tokenizer_files"),
        ({"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}, "fast_tokenizer_files"),
        ({"added_tokens_decoder": {"1000000000000": {"content": "x"}}}, "added_tokens_decoder"),
    ],
    ids=[
        "init_inputs",
        "model_file",
        "mecab_option",
        "sudachi_config_path",
        "file elsewhere",
        "file that is missing",
        "large token",
    ],
)
def test_tokenizer_configs_that_are_refused(asked, message):
    with pytest.raises(ValueError, match=message):
        safety.clean_tokenizer_config(asked, ["tokenizer.json"])


NAMES = ["1_Pooling/config.json", "config.json", "modules.json"]


@pytest.mark.parametrize("path", ["1_Pooling", "1_Pooling/", "./1_Pooling"])
def test_parts_inside_the_folder(path):
    assert safety.part_file(path, "config.json", NAMES) == "1_Pooling/config.json"


@pytest.mark.parametrize(
    "path",
    [
        *("..", "../1_Pooling", "1_Pooling/../1_Pooling", "/etc", "/work/1_Pooling", "2_Pooling"),
        *("1_Pooling\\", "..\\x", "\0", 1, None, ["1_Pooling"], {"a": 1}),
    ],
    ids=repr,
)
def test_parts_elsewhere_are_refused(path):
    with pytest.raises(ValueError, match=r"it names the path .*directly inside"):
        safety.part_file(path, "config.json", NAMES)


def test_only_files_of_tokenizers_are_handed_on():
    small = ["vocab.txt", "tokenizer.json", "tokenizer.4.0.0.json", "spiece.model", "merges.txt"]
    others = ["config.json", "notes.txt", "generation_config.json", "modules.json", "code.py"]
    content = FolderContent("0", data=dict.fromkeys([*small, *others, "x/vocab.txt"], b"x"))
    assert safety.vocabulary_files(content) == dict.fromkeys(small, b"x")


def test_vocabularies_beyond_any_are_refused(monkeypatch):
    monkeypatch.setattr(safety, "LARGEST_VOCABULARY", 3)
    with pytest.raises(ValueError, match=r"vocab\.txt is larger than"):
        safety.vocabulary_files(FolderContent("0", data={"vocab.txt": b"1234"}))
