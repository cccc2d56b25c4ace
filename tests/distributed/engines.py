"""Engines of several processes on the loopback interface: a scheduler and two workers each."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples/distributed"
HOST = "127.0.0.1"
# what each of the engines' processes needs, and nothing that pytest or a person has set
ENVIRONMENT = {
    **{name: v for name, v in os.environ.items() if not name.startswith(("OMP_", "SPARK_"))},
    "PYSPARK_PYTHON": sys.executable,
    "SPARK_LOCAL_IP": HOST,
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # otherwise Ray writes a token to the home folder, and wants it where it finds it
    "RAY_AUTH_MODE": "disabled",
    # otherwise it waits for up to 30 s when it is told to stop
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    # otherwise Ray replaces 127.0.0.1 by the machine's address
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # the workers import the package that is tested
    "PYTHONPATH": os.pathsep.join(
        filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")])
    ),
}


def free_port():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        return taken.getsockname()[1]


@contextmanager
def running(command, folder, name, **more):
    """A process that runs until the context ends; its output goes to a file of the folder."""
    with Path(folder, f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*map(str, command)],
            env={**ENVIRONMENT, **more},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            # with all that it started: agents of Ray outlive a head that is killed
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(condition, what, seconds=60, folder=None):
    """Wait until ``condition()`` is true; fail with the logs of the folder after some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            logs = [f"{log.name}:\n{log.read_text()[-2000:]}" for log in Path(folder).glob("*.log")]
            pytest.fail(f"{what} did not happen within {seconds} s\n" + "\n".join(logs))
        time.sleep(0.1)


def listens(port):
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0


@contextmanager
def dask_cluster(folder):
    """The address of a scheduler with two workers of one thread each."""
    pytest.importorskip("distributed", reason="needs pip install sklearn-dl[distributed-test]")
    port = free_port()
    address = f"tcp://{HOST}:{port}"
    dask = [sys.executable, "-m", "dask"]
    scheduler = [*dask, "scheduler", "--host", HOST, "--port", port, "--no-dashboard"]
    worker = [*dask, "worker", address, "--host", HOST, "--nworkers", 2, "--nthreads", 1]
    with (
        running(scheduler, folder, "scheduler"),
        running([*worker, "--no-dashboard", "--local-directory", folder], folder, "workers"),
    ):
        wait_for(lambda: listens(port), "the start of the scheduler", folder=folder)
        yield address


@contextmanager
def ray_cluster(folder):
    """The address of a Ray node with two CPUs, whose processes are not this one's."""
    pytest.importorskip("ray", reason="needs pip install sklearn-dl[distributed-test]")
    port = free_port()
    # sockets lie below this folder, and their paths must be short
    short = Path("/tmp", f"ray{port}")
    head = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    head += ["--node-ip-address", HOST, "--port", port, "--num-cpus", 2, "--temp-dir", short]
    head += ["--include-dashboard", "false", "--object-store-memory", 500_000_000]
    # otherwise they are 10001 and 52365, which two heads cannot share
    head += ["--ray-client-server-port", free_port(), "--dashboard-agent-listen-port", 0]
    try:
        with running(head, folder, "ray"):
            wait_for(lambda: listens(port), "the start of Ray", folder=folder)
            yield f"{HOST}:{port}"
    finally:
        shutil.rmtree(short, ignore_errors=True)


@contextmanager
def spark_cluster(folder):
    """The address of a standalone Spark master with two workers of one core each."""
    pyspark = pytest.importorskip(
        "pyspark", reason="needs pip install sklearn-dl[distributed-test]"
    )
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java 17: apt-get install openjdk-17-jre-headless")
    spark_class = Path(pyspark.__file__).parent / "bin/spark-class"
    port = free_port()
    address = f"spark://{HOST}:{port}"
    deploy = "org.apache.spark.deploy"
    master = [spark_class, f"{deploy}.master.Master", "--host", HOST, "--port", port]
    worker = [spark_class, f"{deploy}.worker.Worker", "--host", HOST, "--cores", 1]
    worker += ["--memory", "2g", "--webui-port", 0, "--work-dir", folder, address]
    log = Path(folder, "master.log")
    with (
        running([*master, "--webui-port", 0], folder, "master"),
        running(worker, folder, "worker0"),
        running(worker, folder, "worker1"),
    ):
        # workers connect again until the master listens
        wait_for(
            # a worker that gets no answer asks again
            lambda: len(set(re.findall(r"Registering worker (\S+)", log.read_text()))) == 2,
            "the start of Spark's workers",
            folder=folder,
        )
        yield address


def run_example(name, *arguments, seconds=270, **environment):
    """Run a script of examples/distributed in a new process, and return what it prints."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    return done.stdout
