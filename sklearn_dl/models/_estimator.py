"""Estimators whose pickles carry the model that a parameter names."""

import os
from abc import ABCMeta, abstractmethod
from typing import Any, NamedTuple

from sklearn_dl.models._content import ModelContent
from sklearn_dl.models._registry import is_known_everywhere
from sklearn_dl.utils._base import DeepEstimator
from sklearn_dl.utils._sklearn import StrOptions, clone_parametrized


class _Carried(NamedTuple):
    """A model's content that came with a pickle, and the value of `model` that it belongs to.

    In a pickle, the content is None if it is that of the fitted network.
    """

    model: Any
    content: ModelContent


EMBED_MODEL: list = ["boolean", StrOptions({"auto"})]


def embeds(embed_model, model):
    """Whether a pickle contains the content of `model`, or only its hash.

    With "auto", it contains only the hash if other processes can find the model by its name.
    """
    return not is_known_everywhere(model) if embed_model == "auto" else embed_model


class ModelEstimator(DeepEstimator, metaclass=ABCMeta):
    """Estimator whose pickle contains the content of `model`, or only its hash: see `embed_model`.

    Subclasses have the parameters `model` and `embed_model`, and define how a model is found
    (`_find_content`). The content from a pickle is used as long as `model` has the value that was
    pickled. Clones share this content.
    """

    model: Any
    embed_model: bool | str
    # the model's path or name and the hash of its content, noted by `fit`
    _fitted_with: tuple[Any, str] | None = None

    @abstractmethod
    def _find_content(self) -> ModelContent:
        """Find the content of `model` as it is now."""

    def __getstate__(self):
        state = super().__getstate__()
        state.pop("_carried", None)
        if isinstance(self.model, (str, os.PathLike)):
            state["_carried"] = _Carried(self.model, self._content_for_pickle())
            state.pop("_fitted_with", None)  # the same hash: `_content` has checked it
        return state

    def __sklearn_clone__(self):
        clone = clone_parametrized(self)
        carried = self._valid_carried()
        if carried is not None:
            clone._carried = carried
        return clone

    def _valid_carried(self):
        carried = getattr(self, "_carried", None)
        return carried if carried is not None and carried.model == self.model else None

    def _note_content(self):
        """Note the content of `model` in `fit`; from then on, a changed content raises an error."""
        self._fitted_with = None
        if isinstance(self.model, (str, os.PathLike)):
            self._fitted_with = os.path.abspath(self.model), self._content().sha256

    def _content(self) -> ModelContent:
        """Return the content of `model`: from the pickle if it has one, otherwise as found now.

        Raises
        ------
        ValueError
            If this is not the content that the estimator was fitted or pickled with.
        """
        content = self._present_content()
        path, sha256 = self._fitted_with or (None, content.sha256)
        if sha256 != content.sha256 and self._is_at(path):
            raise ValueError(
                f"model={self.model!r} has changed since this estimator was "
                f"fitted (sha256 {content.sha256[:12]}, it was {sha256[:12]}): fit the estimator "
                "again, or put the model back."
            )
        return content

    def _content_for_pickle(self) -> ModelContent:
        return self._content().for_pickle(embeds(self.embed_model, self.model))

    def _is_at(self, path):
        """Return whether `model` is the path or name that was noted by `fit`."""
        is_path = isinstance(self.model, (str, os.PathLike))
        return is_path and os.path.abspath(self.model) == path

    def _present_content(self):
        """Return the content of `model` from the pickle, or otherwise as it is found now.

        Raises
        ------
        FileNotFoundError
            If it is not found.
        ValueError
            If it is not the content that the estimator was pickled with.
        """
        carried = self._valid_carried()
        if carried is not None and carried.content.data is not None:
            return carried.content
        try:
            content = self._find_content()
        except FileNotFoundError as error:
            if carried is None:
                raise
            raise FileNotFoundError(
                f"{error} This estimator comes from a pickle without the pretrained weights: put "
                "the model there, or pickle the estimator again with embed_model=True, on a "
                "machine that has the model."
            ) from error
        if carried is not None and carried.content.sha256 != content.sha256:
            raise ValueError(
                f"model={self.model!r} is not the one that this estimator was "
                f"pickled with (sha256 {content.sha256[:12]}, it was "
                f"{carried.content.sha256[:12]}): put the model back, or make a new estimator."
            )
        return content
