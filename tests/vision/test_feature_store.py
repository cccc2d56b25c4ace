"""The file of features: a damaged, locked or full file leads to a warning, never to a wrong row."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_dl import ImageClassifier, ImageLoader, clear_sessions
from sklearn_dl.images import _lazy
from sklearn_dl.training import _feature_store as _store
from sklearn_dl.training._feature_store import FeatureStore
from sklearn_dl.vision import _backbone, _image_rows
from tests.vision.backbones import versioned_module

ROWS = {bytes([i]) * 32: np.arange(i, i + 6, dtype=np.float32) / 7 for i in range(40)}
CANNOT = r"The features in .*features\.sqlite cannot be used \("


@pytest.fixture
def store(tmp_path):
    store = FeatureStore(tmp_path, ("model", 1))
    store.save(ROWS)
    return store


def again(store):
    return FeatureStore(store.path.parents[1], ("model", 1))


def assert_rows(found, expected=ROWS):
    assert found.keys() == expected.keys()
    for key, row in found.items():
        assert row.dtype == np.float32
        np.testing.assert_array_equal(row, expected[key])


def test_what_was_kept_is_found(store):
    assert_rows(again(store).load([*ROWS, None, b"other"]))


def update(store, statement, *values):
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute(statement, values)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("value", np.arange(6, dtype="<f4").tobytes()),
        ("value", b""),
        ("value", "text"),
        ("value", None),
        ("value", 5),
        ("width", 3),
        ("width", None),
        ("width", "x"),
        ("checksum", None),
        ("checksum", b"\0" * 32),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else str(value),
)
def test_a_damaged_row_is_not_used_and_mended(store, column, value):
    key = next(iter(ROWS))
    update(store, f"UPDATE features SET {column} = ? WHERE key = ?", value, key)
    damaged = again(store)
    with pytest.warns(UserWarning, match="1 of 40 rows in .* are damaged") as caught:
        found = damaged.load(list(ROWS))
    assert len(caught) == 1
    assert_rows(found, {k: row for k, row in ROWS.items() if k != key})
    damaged.save({key: ROWS[key]})
    assert_rows(again(store).load(list(ROWS)))


def test_a_row_of_another_key_is_not_used(store):
    first, second = list(ROWS)[:2]
    update(store, "DELETE FROM features WHERE key = ?", first)
    update(store, "UPDATE features SET key = ? WHERE key = ?", first, second)
    with pytest.warns(UserWarning, match="1 of 2 rows"):
        assert again(store).load([first, second]) == {}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    store = FeatureStore(folder, ())
    store.save(ROWS)
    return store.path.read_bytes()


PLACES = st.integers(0, 2**16)


@pytest.mark.slow
@given(
    st.one_of(
        st.tuples(st.just("bits"), st.lists(st.tuples(PLACES, st.integers(0, 7)), max_size=8)),
        st.tuples(st.just("cut"), PLACES),
        st.tuples(st.just("page"), PLACES),
        st.tuples(st.just("garbage"), st.tuples(PLACES, st.binary(min_size=1, max_size=100))),
    )
)
@settings(max_examples=150, derandomize=True, deadline=None)
def test_any_damage_gives_the_same_rows_or_none(whole, tmp_path_factory, damage):
    """Flipped bits, cuts and garbage: rows that come back are those that were kept."""
    content = bytearray(whole)
    kind, where = damage
    if kind == "bits":
        for place, bit in where:
            content[place % len(content)] ^= 1 << bit
    elif kind == "cut":
        del content[where % len(content) :]
    elif kind == "page":
        start = where % len(content) // 4096 * 4096
        content[start : start + 4096] = bytes(4096)
    else:
        place = where[0] % len(content)
        content[place : place + len(where[1])] = where[1]
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "sklearn_dl").mkdir()
    (folder / "sklearn_dl" / "features.sqlite").write_bytes(content)
    store = FeatureStore(folder, ())
    warned = []
    store._warn = warned.append
    found = store.load(list(ROWS))
    for key, row in found.items():
        np.testing.assert_array_equal(row, ROWS[key])
    store.save({key: row for key, row in ROWS.items() if key not in found})
    shutil.rmtree(folder)


def cut(path):
    path.write_bytes(path.read_bytes()[:5000])


def garbage(path):
    path.write_bytes(b"no database " * 1000)


def folder(path):
    path.unlink()
    path.mkdir()


def other_table(path):
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE features")
        database.execute("CREATE TABLE features (key TEXT)")


@pytest.mark.parametrize("damage", [cut, garbage, folder, other_table])
@pytest.mark.parametrize("start", ["load", "save"])
def test_a_damaged_file_is_one_warning(store, damage, start):
    damage(store.path)
    damaged = again(store)
    with pytest.warns(UserWarning, match=CANNOT) as caught:
        use(damaged, start)
    assert len(caught) == 1


def use(store, start):
    if start == "load":
        assert store.load(list(ROWS)) == {}
    store.save(ROWS)
    assert store.load(list(ROWS)) == {}


def test_a_lock(store, monkeypatch):
    monkeypatch.setattr(_store, "_SECONDS_TO_WAIT", 0.01)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        locked = again(store)
        with pytest.warns(UserWarning, match=CANNOT + "database is locked") as caught:
            use(locked, "load")
        assert len(caught) == 1
    assert_rows(again(store).load(list(ROWS)))


@pytest.mark.parametrize("damage", [cut, garbage, folder, other_table])
def test_the_process_warns_once_of_a_damaged_file(store, damage, monkeypatch):
    damage(store.path)
    with pytest.warns(UserWarning, match=CANNOT):
        use(again(store), "load")
    for path in (store.path.parents[1], Path(os.path.relpath(store.path.parents[1]))):
        use(FeatureStore(path, ("model", 1)), "load")
        use(FeatureStore(path, ("other", 2)), "save")
    monkeypatch.chdir(store.path.parent)
    use(again(store), "save")
    clear_sessions()
    with pytest.warns(UserWarning, match=CANNOT):
        use(again(store), "load")


def test_another_damage_warns_again(store):
    garbage(store.path)
    with pytest.warns(UserWarning, match=CANNOT):
        use(again(store), "load")
    store.path.write_bytes(b"other garbage " * 1000)
    with pytest.warns(UserWarning, match=CANNOT):
        use(again(store), "load")
    store.path.unlink()
    again(store).save(ROWS)
    assert_rows(again(store).load(list(ROWS)))


def test_the_process_waits_once_for_a_lock(store, monkeypatch):
    real, waits = sqlite3.connect, []

    def connect(path, timeout):
        waits.append(timeout)
        return real(path, timeout=timeout / 1000)

    monkeypatch.setattr(_store.sqlite3, "connect", connect)
    with closing(real(store.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.warns(UserWarning, match=CANNOT + "database is locked") as caught:
            use(again(store), "load")
        assert len(caught) == 1
        use(again(store), "load")
        use(again(store), "load")
        assert waits == [10.0, 0.0, 0.0]
    new = {b"new": np.ones(6, np.float32)}
    again(store).save(new)  # it is free again, and has other content than that one
    assert_rows(again(store).load([*ROWS, *new]), ROWS | new)
    assert waits[3:] == [0.0, 10.0]


@pytest.mark.parametrize("memory", ["/a\0b", "\0", Path("a\0b"), "a\ud800"], ids=ascii)
def test_a_memory_that_is_not_a_path(data, params, onnx_file, memory):
    clf = ImageClassifier(onnx_file, **params).fit(*data)
    before = dict(vars(clf.set_params(memory=memory)))
    for call in (lambda: clf.fit(*data), lambda: clf.predict(data[0])):
        with pytest.raises(ValueError, match=r"^memory=.* is not a path .*: set a folder"):
            call()
    assert vars(clf) == before


def test_a_disk_that_cannot_be_written(store, monkeypatch):
    real = sqlite3.connect
    monkeypatch.setattr(
        _store.sqlite3, "connect", lambda path, **kw: real(f"file:{path}?mode=ro", uri=True, **kw)
    )
    readable = again(store)
    assert_rows(readable.load(list(ROWS)))
    with pytest.warns(UserWarning, match=CANNOT + "attempt to write a readonly database"):
        readable.save({b"new": np.zeros(6, np.float32)})


def test_a_full_disk(store, monkeypatch):
    real = sqlite3.connect

    def connect(path, **options):
        database = real(path, **options)
        (n_pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {n_pages}")
        return database

    monkeypatch.setattr(_store.sqlite3, "connect", connect)
    more = {bytes([i, 1]) * 16: np.zeros(2000, np.float32) for i in range(9)}
    with pytest.warns(UserWarning, match=CANNOT + "database or disk is full"):
        again(store).save(more)
    assert_rows(again(store).load([*ROWS, *more]))


def test_a_place_that_is_no_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    nowhere = FeatureStore(tmp_path / "file", ())
    with pytest.warns(UserWarning, match=CANNOT) as caught:
        use(nowhere, "load")
    assert len(caught) == 1


def test_it_is_bounded_and_the_oldest_rows_go(tmp_path, monkeypatch):
    monkeypatch.setattr(_store, "MAX_BYTES", 400_000)
    monkeypatch.setattr(_store, "_ROWS_AT_ONCE", 5)
    store = FeatureStore(tmp_path, ())
    rows = {i.to_bytes(32, "big"): np.full(1280, i, np.float32) for i in range(300)}
    for start in range(0, 300, 30):
        store.save(dict(list(rows.items())[start : start + 30]))
        assert store.path.stat().st_size < 500_000
    left = store.load(list(rows))
    assert 30 <= len(left) < 80
    assert_rows(left, dict(list(rows.items())[-len(left) :]))


def test_rows_of_older_versions_are_forgotten(tmp_path):
    store = FeatureStore(tmp_path, ())
    store.path.parent.mkdir()
    with closing(sqlite3.connect(store.path)) as database, database:
        database.execute("CREATE TABLE features (key BLOB PRIMARY KEY, value BLOB)")
        database.execute("INSERT INTO features VALUES (?, ?)", (b"key", bytes(24)))
    assert store.load([b"key"]) == {}
    store.save(ROWS)
    assert_rows(store.load([b"key", *ROWS]))


def test_nothing_in_it_is_a_pickle(store):
    content = store.path.read_bytes()
    assert b"sklearn" not in content
    assert b"numpy" not in content


def test_a_fit_goes_on_without_its_store(data, params, onnx_file, tmp_path):
    expected = ImageClassifier(onnx_file, **params).fit(*data).predict_proba(data[0])
    clf = ImageClassifier(onnx_file, memory=tmp_path, **params).fit(*data)
    path = next(Path(tmp_path).rglob("*.sqlite"))
    garbage(path)
    with pytest.warns(UserWarning, match=CANNOT) as caught:
        clf.fit(*data)
    assert len(caught) == 1
    np.testing.assert_array_equal(clf.predict_proba(data[0]), expected)  # it warned already


def test_a_flipped_bit_changes_no_prediction(data, params, onnx_file, tmp_path):
    clf = ImageClassifier(onnx_file, memory=tmp_path, **params).fit(*data)
    expected = clf.predict_proba(data[0])
    path = next(Path(tmp_path).rglob("*.sqlite"))
    with closing(sqlite3.connect(path)) as database, database:
        (value,) = database.execute("SELECT value FROM features LIMIT 1").fetchone()
        flipped = bytes([value[0], value[1], value[2], value[3] ^ 1]) + value[4:]
        database.execute("UPDATE features SET value = ? WHERE value = ?", (flipped, value))
    with pytest.warns(UserWarning, match="1 of 24 rows in .* are damaged"):
        np.testing.assert_array_equal(clf.predict_proba(data[0]), expected)
    np.testing.assert_array_equal(clf.predict_proba(data[0]), expected)


def test_a_fault_of_the_machine_raises(tmp_path, monkeypatch):
    import errno

    path = tmp_path / "image.png"
    path.write_bytes(b"any")
    images = ImageLoader(on_error="nan").transform([path])[:, 0]

    def fail(*args):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(_image_rows, "open_source", fail)
    assert _lazy.open_source is not fail
    with pytest.raises(OSError, match="Too many open files"):
        _image_rows.digest_or_none(images[0])


def test_more_rows_than_one_statement_holds(tmp_path):
    keys = [f"{i:04}".encode() for i in range(2500)]
    store = FeatureStore(tmp_path, ("a network",))
    store.save({key: np.float32([i, -i]) for i, key in enumerate(keys)})
    found = store.load([*keys, None, b"another"])
    assert len(found) == 2500
    np.testing.assert_array_equal(found[keys[2499]], [2499, -2499])


def test_random_views_are_not_kept(data, params, tmp_path, monkeypatch):
    kept, save = [], FeatureStore.save

    def recorded(self, features):
        kept.append(len(features))
        return save(self, features)

    monkeypatch.setattr(FeatureStore, "save", recorded)
    ImageClassifier(versioned_module, augment="standard", memory=tmp_path, **params).fit(*data)
    assert sum(kept) == 24


def test_features_of_a_trained_network_are_not_those_that_were_kept(data, params, tmp_path):
    clf = ImageClassifier(versioned_module, trainable_layers=1, learning_rate=0.01, **params)
    expected = clf.fit(*data).transform(data[0])
    clf.set_params(memory=tmp_path).fit(*data)
    for _ in range(2):
        np.testing.assert_array_equal(clf.transform(data[0]), expected)


def test_features_of_other_pixels_are_not_those_that_were_kept(
    data, params, tmp_path, onnx_file, monkeypatch
):
    clf = ImageClassifier(onnx_file, memory=tmp_path, **params)
    before = clf.fit(*data).transform(data[0])
    darker = {"offset": (0.0, 0.0, 0.0), "scale": (1 / 255,) * 3}
    monkeypatch.setattr(_backbone, "IMAGENET_PIXELS", darker)
    assert abs(clf.fit(*data).transform(data[0]) - before).max() > 0.1
