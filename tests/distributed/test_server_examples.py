"""The servers of examples/distributed answer requests of several threads like a local predict."""

import json
import re
import runpy
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import joblib
import numpy as np
import psutil
import pytest

from tests.distributed import engines

pytestmark = pytest.mark.slow

TEXTS = [f"{what} film number {i}" for i in range(10) for what in ("a fine", "a dull")]
CALLS = [TEXTS[start : start + size] for start in range(6) for size in (1, 3, 8)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The file of a classifier."""
    path = tmp_path_factory.mktemp("server") / "classifier.joblib"
    runpy.run_path(str(engines.EXAMPLES / "serve_gunicorn.py"))["save_classifier"](path)
    return path


def ask(port, body):
    request = Request(f"http://{engines.HOST}:{port}/predict", json.dumps(body).encode())
    with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
        return json.load(answer)


def ask_at_once(port):
    """The answers to all calls, of which six wait at a time."""
    with ThreadPoolExecutor(6) as pool:
        return list(pool.map(lambda texts: ask(port, texts), CALLS))


def check(answers, path):
    classifier = joblib.load(path)
    for texts, answer in zip(CALLS, answers, strict=True):
        assert answer["classes"] == classifier.classes_.tolist()
        np.testing.assert_allclose(
            answer["probabilities"], classifier.predict_proba(texts), rtol=0, atol=1e-6
        )


def end(process):
    process.terminate()
    return process.wait(60)


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_uvicorn_loads_once_and_answers_in_threads(tmp_path, path):
    pytest.importorskip("starlette", reason="needs pip install sklearn-dl[distributed-test]")
    pytest.importorskip("uvicorn", reason="needs pip install sklearn-dl[distributed-test]")
    port = engines.free_port()
    script = engines.EXAMPLES / "serve_uvicorn.py"
    with engines.running([sys.executable, script, path, port], tmp_path, "server") as process:
        engines.wait_for(lambda: engines.listens(port), "the server's start", 120, tmp_path)
        answers = ask_at_once(port)
        with pytest.raises(HTTPError, match="422") as refused:
            ask(port, ["fine", 3])
        assert "row 1" in json.load(refused.value)["error"]
        # uvicorn shuts down, and then raises the signal again
        assert end(process) == -signal.SIGTERM
    check(answers, path)
    log = (tmp_path / "server.log").read_text()
    assert log.count("loaded ") == 1
    assert "Finished server process" in log


def test_gunicorn_loads_after_the_fork_and_replaces_its_workers(tmp_path, path):
    pytest.importorskip("gunicorn", reason="needs pip install sklearn-dl[distributed-test]")
    port = engines.free_port()
    command = [sys.executable, "-m", "gunicorn", "--config", engines.EXAMPLES / "gunicorn.conf.py"]
    command += ["--chdir", engines.EXAMPLES, "--bind", f"{engines.HOST}:{port}"]
    # workers end while others answer; one that still loads hears no signal, and is killed
    command += ["--max-requests", 6, "--max-requests-jitter", 0, "--graceful-timeout", 10]
    command += ["--no-control-socket", "serve_gunicorn:app"]
    with engines.running(command, tmp_path, "server", CLASSIFIER=str(path)) as process:
        engines.wait_for(lambda: engines.listens(port), "the server's start", 120, tmp_path)
        answers = ask_at_once(port)
        first = {answer["process"] for answer in answers}
        engines.wait_for(
            lambda: ask(port, TEXTS)["process"] not in first, "a new worker", 60, tmp_path
        )
        assert end(process) == 0
    check(answers, path)
    log = (tmp_path / "server.log").read_text()
    workers = {int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", log)}
    assert first < workers
    engines.wait_for(
        lambda: not any(map(is_running, workers)), "the end of all workers", 30, tmp_path
    )
    assert "TIMEOUT" not in log
