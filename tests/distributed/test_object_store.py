"""Images in an object store that speaks S3: moto's server, on the loopback interface."""

import errno
import os
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, PixelExtractor
from sklearn_dl.images import ImageReadError
from tests.distributed import engines
from tests.images.image_files import encode

pytestmark = pytest.mark.slow

needed = {"reason": "needs pip install sklearn-dl[distributed-test]"}
s3fs = pytest.importorskip("s3fs", **needed)
moto = pytest.importorskip("moto.server", **needed)

from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402

N_IMAGES = 30
LEVELS = np.arange(N_IMAGES) * 8
FILES = {
    f"{row}.png": encode(np.full((4, 6, 3), level, np.uint8), "PNG")
    for row, level in enumerate(LEVELS)
}
ROOT = "s3://pictures/images"
URLS = [f"{ROOT}/{name}" for name in FILES]


class Quiet(WSGIRequestHandler):
    def log(self, *args):
        pass


class KeepAlive(BaseHTTPRequestHandler):
    """Serves FILES and keeps connections open, as real stores do and moto's server does not."""

    protocol_version = "HTTP/1.1"
    requests: Counter = Counter()
    connections: set = set()

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        self.requests[name] += 1
        self.connections.add(self.client_address)
        self.send_response(206)
        self.send_header("Content-Length", str(len(FILES[name])))
        self.end_headers()
        self.wfile.write(FILES[name])

    def log_message(self, *args):
        pass


class ObjectStore:
    """moto's server, which counts its requests and fails if the test sets it to."""

    def __init__(self):
        self.application = moto.DomainDispatcherApplication(moto.create_backend_app)
        self.requests: Counter = Counter()
        self.failures = {}
        self.server = make_server(engines.HOST, 0, self, threaded=True, request_handler=Quiet)
        self.options = {
            "protocol": "s3",
            "key": "anyone",
            "secret": "anything",
            "endpoint_url": f"http://{engines.HOST}:{self.server.port}",
            "client_kwargs": {"region_name": "eu-west-1"},
            # otherwise the client waits for half a minute before it gives up
            "config_kwargs": {"retries": {"max_attempts": 0}},
        }

    def __call__(self, environ, start_response):
        name = environ["PATH_INFO"].rpartition("/")[2]
        self.requests[environ["REQUEST_METHOD"], name] += 1
        if self.failures.get(name, 0) > 0:
            self.failures[name] -= 1
            body = b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"
            headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
            start_response("503 Slow Down", headers)
            return [body]
        return self.application(environ, start_response)

    def forget(self):
        self.requests.clear()
        self.failures.clear()


@pytest.fixture(scope="module")
def running_store():
    store = ObjectStore()
    thread = threading.Thread(target=store.server.serve_forever, daemon=True)
    thread.start()
    filesystem = s3fs.S3FileSystem(**{k: v for k, v in store.options.items() if k != "protocol"})
    filesystem.mkdir("pictures")
    for name, data in FILES.items():
        filesystem.pipe_file(f"pictures/images/{name}", data)
    filesystem.pipe_file("pictures/secret.png", FILES["1.png"])
    filesystem.pipe_file("pictures/images/empty.png", b"")
    filesystem.pipe_file("pictures/images/half.png", FILES["1.png"][:40])
    filesystem.pipe_file("pictures/images/a::b c%2F#?.png", FILES["7.png"])
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        for name, data in FILES.items():
            members.writestr(f"images/{name}", data)
    filesystem.pipe_file("pictures/images.zip", archive.getvalue())
    yield store
    store.server.shutdown()
    thread.join(30)
    store.server.server_close()


@pytest.fixture
def store(running_store):
    running_store.forget()
    return running_store


@pytest.fixture(params=["dict", "instance"])
def filesystem(request, store):
    if request.param == "dict":
        return store.options
    return s3fs.S3FileSystem(**{k: v for k, v in store.options.items() if k != "protocol"})


def pixels_of(cells, filesystem, **params):
    loader = ImageLoader(filesystem=filesystem, **params)
    return make_pipeline(loader, ImageResizer(2, 2), PixelExtractor()).transform(cells)


def levels_of(cells, filesystem, n_threads=2, **params):
    return pixels_of(cells, filesystem, **params).compute(n_threads)[:, 0, 0, 0]


def test_each_image_is_one_request_and_each_thread_one_connection(store):
    server = ThreadingHTTPServer((engines.HOST, 0), KeepAlive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://{engines.HOST}:{server.server_port}"
    options = {**store.options, "endpoint_url": endpoint}
    rows = np.random.default_rng(0).integers(N_IMAGES, size=300)
    array = pixels_of([URLS[row] for row in rows], options)
    assert not KeepAlive.requests
    np.testing.assert_array_equal(array.compute(2)[:, 0, 0, 0], LEVELS[rows])
    assert KeepAlive.requests == Counter(f"{row}.png" for row in rows.tolist())
    for _ in range(5):  # the connections are used again, by other threads and loaders
        levels_of(URLS, options)
    assert len(KeepAlive.connections) == 2
    assert [t.name for t in threading.enumerate()].count("fsspecIO") == 1
    server.shutdown()
    server.server_close()


def test_a_server_that_fails_once_is_asked_again(store, filesystem):
    store.failures["3.png"] = 1
    np.testing.assert_array_equal(levels_of(URLS[:6], filesystem), LEVELS[:6])
    assert store.requests["GET", "3.png"] == 2


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_a_server_that_goes_on_failing_is_a_fault(store, on_error):
    store.failures["3.png"] = 1000
    with pytest.raises(OSError, match="Reduce your rate") as caught:
        levels_of(URLS[:6], store.options, on_error=on_error)
    assert caught.value.errno == errno.EBUSY
    assert caught.value.__notes__ == [f"while '{ROOT}/3.png' was read", "Row 3"]


def test_a_server_that_is_not_there_is_a_fault(store):
    port = engines.free_port()
    options = {**store.options, "endpoint_url": f"http://{engines.HOST}:{port}"}
    with pytest.raises(OSError, match=f"Cannot connect to host {engines.HOST}:{port}") as caught:
        levels_of(URLS[:1], options, on_error="nan")
    assert caught.value.__notes__ == [f"while '{ROOT}/0.png' was read", "Row 0"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"{ROOT}/none.png", "it does not exist (The specified key does not exist.)"),
        ("s3://none/a.png", "it does not exist (The specified bucket does not exist)"),
        (ROOT, "it does not exist (The specified key does not exist.)"),
        ("s3:///a.png", "Parameter validation failed"),
        ("s3://A_B!/a.png", "Invalid bucket name"),
        (f"{ROOT}/empty.png", "it is empty (0 bytes)"),
        (f"{ROOT}/half.png", "it is not an image in a format that Pillow reads"),
        (f"{ROOT}.zip", "it is not an image in a format that Pillow reads"),
    ],
)
def test_what_is_wrong_with_one_object(store, url, message):
    cells = [URLS[0], url, URLS[2]]
    with pytest.raises(ImageReadError) as caught:
        levels_of(cells, store.options)
    assert (caught.value.row, caught.value.source) == (1, url)
    assert str(caught.value).startswith(f"Row 1: cannot read {url!r}: ")
    assert message in str(caught.value)
    with pytest.warns(UserWarning, match="1 of 3 images could not be read"):
        found = levels_of(cells, store.options, on_error="nan")
    np.testing.assert_array_equal(found, [LEVELS[0], np.nan, LEVELS[2]])


def test_without_access_objects_are_errors_of_their_rows(store, monkeypatch):
    def deny(environ, start_response):
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        start_response("403 Forbidden", [("Content-Length", str(len(body)))])
        return [body]

    monkeypatch.setattr(store, "application", deny)
    with pytest.raises(ImageReadError, match=r"Row 0: cannot read .*: Access Denied"):
        levels_of(URLS[:1], store.options)


def test_only_the_start_of_an_object_that_is_too_large_is_asked_for(store, monkeypatch):
    ranges = []

    def serve(environ, start_response):
        ranges.append(environ["HTTP_RANGE"])
        body = bytes(2**26 + 1)
        start_response("206 Partial Content", [("Content-Length", str(len(body)))])
        return [body]

    monkeypatch.setattr(store, "application", serve)
    with pytest.raises(ImageReadError, match="it has more than 67108864 bytes"):
        levels_of(URLS[:1], store.options, max_pixels=1000)
    assert ranges == ["bytes=0-67108864"]


def test_root(store, filesystem):
    cells = ["1.png", f"{ROOT}/2.png", "s3a://pictures/images/3.png", "a::b c%2F#?.png"]
    found = levels_of(cells, filesystem, root=ROOT)
    np.testing.assert_array_equal(found, [*LEVELS[1:4], LEVELS[7]])
    store.forget()
    for cell in (
        "../secret.png",
        "%2e%2e/secret.png",
        "s3://pictures/secret.png",
        "s3://pictures/images/../secret.png",
        "s3://other/images/1.png",
        "s3://pictures/images2/1.png",
        "gs://pictures/images/1.png",
        "https://pictures/images/1.png",
        "zip://a.png::s3://pictures/images.zip",
        "s3://pictures/images/a.png::s3://other/a.png",
        "/pictures/images/1.png",
    ):
        with pytest.raises(ImageReadError, match=r"Row 0: .*(leaves root|is not in|chain)"):
            pixels_of([cell], filesystem, root=ROOT)
    assert not store.requests


def test_paths_of_universal_pathlib(store):
    upath = pytest.importorskip("upath", **needed)
    path = upath.UPath(URLS[5], **{k: v for k, v in store.options.items() if k != "protocol"})
    with pytest.raises(ImageReadError, match=r"'s3://.*' is a URL, and nothing is fetched"):
        ImageLoader().transform([path])
    assert not store.requests
    assert levels_of([path], path.fs) == LEVELS[5]


def test_members_of_an_archive_in_the_store(store):
    target = {k: v for k, v in store.options.items() if k != "protocol"}
    options = {"protocol": "zip", "fo": "s3://pictures/images.zip", "target_options": target}
    cells = [f"images/{name}" for name in FILES]
    np.testing.assert_array_equal(levels_of(cells, options, n_threads=3), LEVELS)
    assert sum(store.requests.values()) < 10


def classifier(filesystem):
    return make_pipeline(
        ImageLoader(filesystem=filesystem, root=ROOT),
        ImageResizer(2, 2),
        PixelExtractor(layout="flat", scale=1 / 255),
        LogisticRegression(C=1000.0),
    )


def test_cross_validation_in_other_processes(store, filesystem):
    y = np.where(LEVELS > 120, "light", "dark")
    params = {"cv": 3, "method": "predict_proba"}
    here = cross_val_predict(classifier(filesystem), list(FILES), y, **params)
    there = cross_val_predict(classifier(filesystem), list(FILES), y, n_jobs=2, **params)
    np.testing.assert_allclose(there, here, atol=1e-6)


SERVING = """
import sys, warnings
import joblib, numpy as np

pipe = joblib.load(sys.argv[1])
print(*pipe.predict(["3.png", "29.png"]))
"""


def test_a_fitted_pipeline_is_loaded_in_another_process(store, filesystem, tmp_path):
    y = np.where(LEVELS > 120, "light", "dark")
    joblib.dump(classifier(filesystem).fit(URLS, y), tmp_path / "pipe.joblib")
    done = subprocess.run(
        [sys.executable, "-c", SERVING, str(tmp_path / "pipe.joblib")],
        env=engines.ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "dark light\n", done.stderr


FORKING = """
import os, pickle, sys, time, warnings
import fsspec, numpy as np
from sklearn.pipeline import make_pipeline
from sklearn_dl import ImageLoader, ImageResizer, PixelExtractor

warnings.simplefilter("ignore", DeprecationWarning)  # of threads and forks
options, kind, root, n = pickle.loads(bytes.fromhex(sys.argv[1]))
filesystem = options if kind == "dict" else fsspec.filesystem(**options)
cells = [f"{row}.png" for row in range(n)]
loader = ImageLoader(filesystem=filesystem, root=root)


def array():
    return make_pipeline(loader, ImageResizer(2, 2), PixelExtractor()).transform(cells)


def check(pixels):
    np.testing.assert_array_equal(pixels.compute(2)[:, 0, 0, 0], np.arange(n) * 8)


before = array()
check(before)
children = []
for _ in range(2):
    child = os.fork()
    if not child:
        children = []
        break
    children.append(child)
check(before)
check(array())
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("kind", ["dict", "instance"])
def test_forked_children_read_and_end(store, kind):
    """With real forks, after the parent has connections and the thread of fsspec."""
    import pickle

    given = pickle.dumps((store.options, kind, ROOT, N_IMAGES)).hex()
    done = subprocess.run(
        [sys.executable, "-c", FORKING, given],
        env=engines.ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
