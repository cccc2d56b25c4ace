import copy
import io
import os
import pickle
import pickletools
import shutil
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone

from sklearn_dl import SentenceSimilarityRegressor, TextClassifier, TextEncoder, clear_sessions
from sklearn_dl.models import _folder

X = np.array(["a good film", "the bad book", "fine music", "poor plot"] * 3, dtype=object)
PAIRS = np.column_stack([X, X[::-1]])
Y = np.array([1, 0] * 6)
KINDS = ["trained", "partly", "frozen", "bi", "cosine", "cross", "encoder"]


def make(kind, folder, **params):
    common = {"max_length": 32, "precision": "float32", **params}
    if kind == "encoder":
        return TextEncoder(folder, **common)
    common |= {"max_epochs": 1, "random_state": 0}
    if kind in ("bi", "cosine", "cross"):
        made = SentenceSimilarityRegressor(folder, **common)
        if kind == "cosine":
            made.set_params(max_epochs=0)
        if kind == "cross":
            made.set_params(architecture="cross-encoder")
        return made
    layers = {"trained": "all", "partly": 1, "frozen": 0}[kind]
    return TextClassifier(folder, trainable_layers=layers, **common)


def rows_of(estimator):
    return PAIRS if isinstance(estimator, SentenceSimilarityRegressor) else X


def outputs(estimator):
    rows = rows_of(estimator)
    if isinstance(estimator, TextEncoder):
        return estimator.transform(rows)
    if isinstance(estimator, TextClassifier):
        return estimator.decision_function(rows)
    return estimator.predict(rows)


def fitted(estimator):
    return estimator.fit(rows_of(estimator), Y)


def forget():
    """Behave like another process."""
    clear_sessions()
    _folder._from_folder.cache_clear()


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


ELSEWHERE = """
import pickle, sys
from pathlib import Path
import numpy as np
from sklearn.base import clone
saved = pickle.loads(Path(sys.argv[1], "saved.pkl").read_bytes())
for name, (estimator, unfitted, X, y, expected) in saved.items():
    method = "transform" if name == "encoder" else "predict"
    if name != "encoder":
        np.testing.assert_array_equal(getattr(estimator, method)(X), expected, err_msg=name)
    for made in (clone(estimator), unfitted, clone(unfitted), estimator):
        made = getattr(made.fit(X, y), method)(X)
        np.testing.assert_array_equal(made, expected, err_msg=name)
print(sorted(saved))
"""


@pytest.mark.slow  # another process imports torch
def test_everything_works_in_another_process_without_the_folder(folder, tmp_path):
    saved = {}
    for kind in KINDS:
        estimator = fitted(make(kind, str(folder), embed_model=True))
        rows = rows_of(estimator)
        method = estimator.transform if kind == "encoder" else estimator.predict
        unfitted = make(kind, str(folder), embed_model=True)
        saved[kind] = (estimator, unfitted, rows, Y, method(rows))
    (tmp_path / "saved.pkl").write_bytes(pickle.dumps(saved))
    shutil.rmtree(folder)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ELSEWHERE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str(sorted(KINDS)), done.stderr
    assert done.stderr == ""


@pytest.mark.slow
def test_copies_need_no_folder(folder, kind):
    estimator = fitted(make(kind, str(folder), embed_model=True))
    expected = outputs(estimator)
    unfitted = pickle.dumps(make(kind, str(folder)))
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    copies = [pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator), joblib.load(buffer)]
    copies.append(pickle.loads(pickle.dumps(copies[0])))
    shutil.rmtree(folder)
    forget()
    copies.append(pickle.loads(pickle.dumps(copies[0])))
    for copied in copies:
        assert_array_equal(outputs(copied), expected)
        assert_array_equal(outputs(fitted(clone(copied))), expected)
    assert_array_equal(outputs(copy.copy(copies[0])), expected)
    assert_array_equal(outputs(fitted(copies[0])), expected)
    forget()
    unfitted = pickle.loads(unfitted)
    for made in (clone(unfitted), unfitted):
        assert_array_equal(outputs(fitted(made)), expected)


def test_clones_share_what_is_embedded(encoder, kind):
    loaded = pickle.loads(pickle.dumps(fitted(make(kind, encoder, embed_model=True))))
    content = clone(loaded)._content()
    assert content is clone(clone(loaded))._content() is loaded._content()
    assert content.data is not None


def test_changing_the_model_drops_what_is_embedded(encoder, other_encoder, kind):
    loaded = pickle.loads(pickle.dumps(make(kind, encoder)))
    expected = outputs(fitted(make(kind, other_encoder)))
    assert_array_equal(outputs(fitted(loaded.set_params(model=other_encoder))), expected)
    assert_array_equal(outputs(pickle.loads(pickle.dumps(loaded))), expected)


def test_a_fitted_network_does_not_follow_the_model(encoder, other_encoder, kind):
    if kind == "encoder":
        pytest.skip("learns nothing")
    estimator = fitted(make(kind, encoder))
    expected = outputs(estimator)
    estimator.set_params(model=other_encoder)
    assert_array_equal(outputs(estimator), expected)
    loaded = pickle.loads(pickle.dumps(estimator))
    assert_array_equal(outputs(loaded), expected)
    assert_array_equal(outputs(fitted(loaded)), outputs(fitted(make(kind, other_encoder))))


def sizes(estimator):
    return len(pickle.dumps(estimator))


def test_a_pickle_holds_no_weights_twice(encoder):
    pretrained = sum(f.stat().st_size for f in os.scandir(encoder))
    weights = os.path.getsize(f"{encoder}/model.safetensors")
    small = pretrained - weights
    assert sizes(make("trained", encoder)) < pretrained + 5000
    assert sizes(make("trained", encoder, embed_model=False)) < 2000
    assert sizes(fitted(make("frozen", encoder))) < pretrained + 10_000
    assert sizes(fitted(make("frozen", encoder, embed_model=False))) < 5000
    assert sizes(fitted(make("trained", encoder, embed_model=True))) > pretrained + 0.9 * weights
    assert sizes(fitted(make("trained", encoder, embed_model=False))) < weights + small + 10_000
    assert sizes(fitted(make("trained", encoder))) < pretrained + 10_000
    assert sizes(fitted(make("partly", encoder))) < pretrained + 10_000


def test_one_pickle_of_several_estimators_holds_a_model_once(encoder, kind):
    """As a task of a search does: scikit-learn's scorer holds the estimator a second time."""
    estimator = make(kind, encoder)
    several = [estimator, clone(estimator), make("frozen", encoder)]
    assert len(pickle.dumps(several)) < sizes(estimator) + 5000
    assert len(pickle.dumps([fitted(e) for e in (several[2], clone(several[2]))])) < 2 * sizes(
        estimator
    )


def test_a_trained_copy_needs_the_folder_only_to_be_fitted_again(folder, kind):
    """The default `embed_model`: each tensor is in the pickle once."""
    estimator = fitted(make(kind, str(folder)))
    expected = outputs(estimator)
    data = pickle.dumps(estimator)
    shutil.rmtree(folder)
    forget()
    loaded = pickle.loads(pickle.dumps(pickle.loads(data)))
    assert_array_equal(outputs(loaded), expected)
    assert_array_equal(outputs(pickle.loads(pickle.dumps(loaded))), expected)
    if kind in ("encoder", "frozen", "cosine"):  # whose weights are the pretrained ones
        assert_array_equal(outputs(fitted(loaded)), expected)
        return
    with pytest.raises(FileNotFoundError, match=r"from a pickle without .*embed_model=True"):
        fitted(loaded)
    assert_array_equal(outputs(loaded), expected)


@pytest.mark.parametrize("kind", ["trained", "bi", "cross"])
def test_a_wholly_trained_network_without_the_model_needs_no_folder(folder, kind):
    estimator = fitted(make(kind, str(folder), embed_model=False))
    expected = outputs(estimator)
    loaded = pickle.loads(pickle.dumps(estimator))
    shutil.rmtree(folder)
    forget()
    assert_array_equal(outputs(loaded), expected)
    with pytest.raises(FileNotFoundError, match="neither a folder nor a registered model"):
        fitted(loaded)
    assert_array_equal(outputs(loaded), expected)


@pytest.mark.parametrize("kind", ["partly", "frozen", "cosine", "encoder"])
def test_other_networks_without_the_model_need_the_folder(folder, other_encoder, kind):
    estimator = fitted(make(kind, str(folder), embed_model=False))
    expected = outputs(estimator)
    data = pickle.dumps(estimator)
    forget()
    assert_array_equal(outputs(pickle.loads(data)), expected)
    shutil.copy(f"{other_encoder}/model.safetensors", folder)
    forget()
    with pytest.raises(ValueError, match=rf"model='{folder}' is not the one that .* \(sha256"):
        outputs(pickle.loads(data))
    shutil.rmtree(folder)
    forget()
    with pytest.raises(FileNotFoundError, match=f"{folder}.*neither a folder nor a registered"):
        outputs(pickle.loads(data))


def globals_in(data):
    names, strings = set(), []
    for opcode, argument, _ in pickletools.genops(data):
        if "UNICODE" in opcode.name:
            strings.append(argument)
        if opcode.name == "GLOBAL":
            names.add(argument.split()[0])
        elif opcode.name == "STACK_GLOBAL":
            names.update(strings[-2:])
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("embed", [True, False], ids=["model embedded", "model named"])
def test_no_object_of_torch_is_inside(encoder, kind, embed):
    estimator = fitted(make(kind, encoder, embed_model=embed))
    outputs(estimator)
    for protocol in (2, 5):
        found = globals_in(pickle.dumps(estimator, protocol))
        assert not found & {"torch", "transformers", "tokenizers", "safetensors", "_thread"}
    state = estimator.__getstate__()
    if kind not in ("frozen", "encoder", "cosine"):
        from safetensors.torch import load

        tensors = load(state["_predictor"].network.trained)
        assert all(tensor.device.type == "cpu" for tensor in tensors.values())
        assert all(tensor.dtype == torch.float32 for tensor in tensors.values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_an_estimator_of_a_gpu_loads_where_there_is_none(encoder, kind):
    estimator = fitted(make(kind, encoder))
    expected = outputs(estimator)
    loaded = pickle.loads(pickle.dumps(estimator.set_params(device="cuda")))
    with pytest.raises(ValueError, match="device='cuda' is not available on this machine"):
        outputs(loaded)
    for device in ("cpu", "auto"):
        assert_array_equal(outputs(loaded.set_params(device=device)), expected)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("tpu9", "is not the name of a device that torch knows"),
        ("meta", "is not available on this machine; use"),
    ],
    ids=["unknown name", "meta"],
)
def test_what_is_not_a_device_is_refused(encoder, kind, device, message):
    with pytest.raises(ValueError, match=f"device='{device}' {message}"):
        outputs(fitted(make(kind, encoder, device=device)))


def test_a_fit_sets_the_device(encoder):
    clf = make("trained", encoder)
    assert not hasattr(TextEncoder(encoder), "device_")
    assert fitted(clf).device_ == ("cuda" if torch.cuda.is_available() else "cpu")


def test_copies_train_apart_from_each_other(encoder):
    first = fitted(make("trained", encoder).set_params(warm_start=True))
    expected = outputs(first)
    for second in (copy.deepcopy(first), copy.copy(first), pickle.loads(pickle.dumps(first))):
        assert not np.array_equal(outputs(fitted(second)), expected)
        assert_array_equal(outputs(first), expected)


def test_a_copy_of_a_copy_carries_no_more(encoder):
    clf = TextClassifier(encoder, trainable_layers=1, max_epochs=1, max_length=32)
    data = pickle.dumps(clf.fit(X, Y))
    copied = pickle.loads(data)
    copied.predict(X)
    assert abs(len(pickle.dumps(copied)) - len(data)) < 100
