"""Settings of gunicorn for serve_gunicorn.py."""

from joblib import cpu_count

bind = "127.0.0.1:8000"
workers = 2
threads = 2
# modules are imported once, before the forks; networks are loaded after the forks
preload_app = True
# seconds in which a worker must have loaded the network, and a request must be answered
timeout = 120
# a worker ends after this number of requests, and a new one takes its place
max_requests = 1000
max_requests_jitter = 100


def post_fork(server, worker):
    from serve_gunicorn import load

    # all workers together use as many threads as there are CPUs
    load(n_threads=max(1, cpu_count() // (workers * threads)))
