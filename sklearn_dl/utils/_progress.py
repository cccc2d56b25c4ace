"""The progress bar that estimators show if they are `verbose`."""

import sys
from contextlib import contextmanager

from sklearn_dl.utils._optional import import_optional


@contextmanager
def progress_bar(verbose, n_rows, what, extra="onnx", *, fill=True):
    """Context in which a bar shows the rows per second and the time left.

    Parameters
    ----------
    verbose : int
        0: no bar is shown.
    n_rows : int
        Number of all rows.
    what : str
        The text before the bar: the names of the estimator and of the step.
    extra : str, default="onnx"
        An extra of sklearn-dl that installs tqdm.
    fill : bool, default=True
        Whether to fill the bar when the context ends without an error, even if rows were skipped.

    Yields
    ------
    done : callable(n_rows) or None
        To be called after each batch with its number of rows. None: no bar is shown.

    Raises
    ------
    ImportError
        If tqdm is not installed.
    """
    if not verbose:
        yield None
        return
    tqdm = import_optional("tqdm.auto", extra=extra, purpose="verbose=1").tqdm
    with tqdm(total=n_rows, unit="row", desc=what) as bar:

        def done(n_rows):
            # a row may be computed, and counted, twice: the bar must not exceed its total
            bar.update(min(n_rows, bar.total - bar.n))

        yield done
        if fill:
            done(n_rows)


def print_line(text):
    """Print a line, without breaking a bar that is shown."""
    tqdm = sys.modules.get("tqdm.auto")
    if tqdm is None:
        print(text)
    else:
        tqdm.tqdm.write(text)


def per_pair(done):
    """Wrap `done`, which counts pairs, into a function that counts texts."""
    if done is None:
        return None
    seen = 0

    def texts_done(n_texts):
        nonlocal seen
        done((seen + n_texts) // 2 - seen // 2)
        seen += n_texts

    return texts_done
