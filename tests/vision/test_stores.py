"""Image estimators on images in a store, whose features are kept under their content."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageClassifier, ImageLoader
from sklearn_dl.vision._image_rows import digest_or_none, digests
from tests.images.image_files import encode

fsspec = pytest.importorskip("fsspec")

ROOT = "memory://pictures"


@pytest.fixture
def memory(data):
    """fsspec's filesystem in memory, with the images of `data` in the folder /pictures."""
    filesystem = fsspec.filesystem("memory")
    for row, pixels in enumerate(data[0]):
        filesystem.pipe_file(f"/pictures/{row}.png", encode(pixels, "PNG"))
    yield filesystem
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


def images(rows, **params):
    loader = ImageLoader(filesystem={"protocol": "memory"}, root=ROOT, **params)
    return loader.transform([f"{row}.png" for row in rows])[:, 0]


def test_features_are_computed_again_when_a_file_changed(
    memory, data, params, onnx_file, tmp_path, computed
):
    pictures, labels = data
    urls = [f"{ROOT}/{row}.png" for row in range(len(labels))]
    loader = ImageLoader(filesystem={"protocol": "memory"})
    clf = ImageClassifier(onnx_file, memory=tmp_path, **params)
    pipe = make_pipeline(loader, clf).fit(urls, labels)
    first = pipe.predict_proba(urls)
    np.testing.assert_allclose(first, clf.predict_proba(pictures), atol=1e-6)
    computed.clear()
    np.testing.assert_array_equal(pipe.predict_proba(urls), first)
    assert computed == []
    memory.pipe_file("/pictures/3.png", encode(pictures[4], "PNG"))
    changed = pipe.predict_proba(urls)
    assert sum(computed) == 0  # it has the content of another
    np.testing.assert_array_equal(changed[3], first[4])
    memory.pipe_file("/pictures/3.png", encode(pictures[4][::-1], "PNG"))
    pipe.predict_proba(urls)
    assert sum(computed) == 1


def test_the_digest_is_that_of_the_content_wherever_it_is(memory, data, tmp_path):
    content = memory.cat_file("/pictures/3.png")
    (tmp_path / "local.png").write_bytes(content)
    cells = [content, tmp_path / "local.png", {"bytes": content, "path": "another.png"}]
    found = digests([*ImageLoader().transform(cells)[:, 0], *images([3])])
    assert len(set(found)) == 1
    assert found[0] != digest_or_none(images([4])[0])
    assert found[0] != digest_or_none(images([3], colors="L")[0])


@pytest.mark.parametrize("n_threads", [1, 3, None])
def test_digests_are_in_the_order_of_the_images(memory, data, n_threads):
    rows = [*range(24), 99, *range(24)]
    found = digests(images(rows), n_threads)
    assert found[24] is None
    assert found[:24] == found[25:] == [digest_or_none(image) for image in images(range(24))]
    assert len(set(found)) == 25


def test_a_store_that_fails_while_digests_are_computed_is_named(memory, data, monkeypatch):
    some = images(range(20), on_error="nan")

    def fail(*args, **kwargs):
        raise TimeoutError("no answer")

    monkeypatch.setattr(type(memory), "cat_file", fail)
    with pytest.raises(OSError, match="the store failed: TimeoutError: no answer") as caught:
        digests(some, 2)
    assert caught.value.__notes__ == ["while 'memory:///pictures/0.png' was read"]
