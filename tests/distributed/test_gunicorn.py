"""gunicorn loads the models before it forks its workers, and keeps replacing workers."""

import json
import os
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import psutil
import pytest

from tests.distributed import engines

pytestmark = pytest.mark.slow
N_REQUESTS, N_BEFORE_EXIT = 30, 5


@pytest.fixture
def server(tmp_path):
    """The process of gunicorn, a function that sends a request, and its log."""
    pytest.importorskip("gunicorn", reason="needs pip install sklearn-dl[distributed-test]")
    url = f"http://{engines.HOST}:{engines.free_port()}"
    command = [sys.executable, "-m", "gunicorn", "tests.distributed.gunicorn_app:application"]
    command += ["--preload", "--workers", 2, "--bind", url.removeprefix("http://")]
    command += ["--max-requests", N_BEFORE_EXIT, "--max-requests-jitter", 0, "--timeout", 60]
    # without it, two servers share a socket in the home folder
    command += ["--config", tmp_path / "conf.py", "--no-control-socket"]
    (tmp_path / "conf.py").write_text(
        "def post_worker_init(worker):\n    worker.log.info('ready: %s', worker.pid)\n"
    )
    get = build_opener(ProxyHandler({})).open

    def answer():
        with get(url, timeout=60) as response:  # an HTTPError for each status of 400 and above
            return json.load(response)

    def listens():
        try:
            return bool(answer())
        except URLError:
            return False

    root, log = Path(__file__).parents[2], tmp_path / "gunicorn.log"
    with engines.running(
        [*command, "--chdir", root, "--worker-tmp-dir", tmp_path],
        tmp_path,
        "gunicorn",
        APP_FOLDER=str(tmp_path),
    ) as process:
        engines.wait_for(listens, "the start of gunicorn", folder=tmp_path)
        yield process, answer, log


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_workers_are_replaced_without_a_failure(server):
    process, answer, log = server
    answers = [answer() for _ in range(N_REQUESTS)]
    assert max(each["difference"] for each in answers) < 1e-4
    workers = {each["pid"] for each in answers}
    assert process.pid not in workers
    assert len(workers) >= N_REQUESTS // N_BEFORE_EXIT - 1

    def are_replaced():
        # a worker that still starts ignores the signal to end
        said = log.read_text()
        are_ready = said.count("ready: ") == 2 + said.count("Autorestarting worker")
        living = {child.pid for child in psutil.Process(process.pid).children()}
        return are_ready and len(living) == 2 and len(workers & living) <= 2

    engines.wait_for(are_replaced, "the start of the last workers", folder=log.parent)
    process.terminate()
    assert process.wait(60) == 0
    for complaint in ("TIMEOUT", "SIGKILL", "SIGABRT", "Traceback", "[ERROR]", "[WARNING]"):
        assert complaint not in log.read_text()
