"""The scripts that score tables of texts and of images, on the real engines."""

import pytest

from tests.distributed.engines import run_example

pytestmark = [pytest.mark.slow, pytest.mark.real]


@pytest.mark.parametrize("engine", ["dask", "ray", "spark"])
def test_scores_are_those_of_this_process(engine, request):
    # the script compares them with local predictions
    address = request.getfixturevalue(f"{engine}_address")
    printed = run_example(f"{engine}_scoring.py", address, seconds=240)
    assert "Egyptian cat" in printed
    assert "character" in printed
