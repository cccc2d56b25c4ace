"""The progress bar that estimators show if they are `verbose`."""

import sys
from contextlib import contextmanager

from sklearn_dl.utils._optional import import_optional


@contextmanager
def progress_bar(verbose, n_rows, what, extra="onnx", *, fill=True):
    """Context in which a bar is shown: with the rows per second, and the time left.

    Parameters
    ----------
    verbose : int
        0: no bar is shown.
    n_rows : int
        Number of rows of the whole work.
    what : str
        What the bar says: the name of the estimator, and of the work.
    extra : str, default="onnx"
        An extra of sklearn-dl that installs tqdm.
    fill : bool, default=True
        Whether the bar is full if the context ends without an error, even if rows were skipped.

    Yields
    ------
    done : callable(n_rows) or None
        To be called after each batch with its number of rows. None: there is no bar.

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
            # equal rows are computed once, and sometimes once more: never more than the whole
            bar.update(min(n_rows, bar.total - bar.n))

        yield done
        if fill:
            done(n_rows)


def print_line(text):
    """Print a line without damage to a bar that is shown."""
    tqdm = sys.modules.get("tqdm.auto")
    if tqdm is None:
        print(text)
    else:
        tqdm.tqdm.write(text)


def per_pair(done):
    """A function to call for single texts of pairs, which calls ``done(n_pairs)``."""
    if done is None:
        return None
    seen = 0

    def texts_done(n_texts):
        nonlocal seen
        done((seen + n_texts) // 2 - seen // 2)
        seen += n_texts

    return texts_done
