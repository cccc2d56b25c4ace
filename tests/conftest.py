import os

from hypothesis import settings

# torch's threads spin while they wait, by default: with two processes of tests on two CPUs each
# takes the CPU that the other needs. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# some tests import onnxruntime before sklearn_dl does
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# no assertion on wall time: a busy machine is not a failure. The same inputs in each run: what is
# new in a run is the change that it tests
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")
