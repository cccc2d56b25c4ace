"""The description by which checkpoints and processes distinguish fits."""

import functools

from sklearn.metrics import f1_score, make_scorer

from sklearn_dl.training._setup import _identities


def scorer(average):
    return make_scorer(f1_score, average=average)


def test_scorers_are_known_apart_by_what_they_compute():
    first, same, other = (_identities({"scoring": scorer(a)}) for a in ("macro", "macro", "micro"))
    assert first == same
    assert first != other


def test_functions_go_by_their_name():
    assert _identities({"augment": scorer})["augment"] == "scorer"
    first, other = (
        _identities({"augment": functools.partial(scorer, a)}) for a in ("macro", "micro")
    )
    assert first != other


def test_a_version_says_what_a_callable_is():
    made = [functools.partial(scorer, average) for average in ("macro", "micro")]
    for function in made:
        function.version = "1"
    first, second = (_identities({"augment": function}) for function in made)
    assert first == second == {"augment": "partial", "version of augment": "1"}


def test_what_cannot_be_pickled_goes_by_its_type():
    made = functools.partial(lambda: None)
    assert _identities({"augment": made})["augment"] == "partial"
    assert _identities({"batch_size": 16}) == {"batch_size": 16}


def test_functions_of_one_version_are_known_apart_by_their_names():
    def first(image, rng):
        return image

    def second(image, rng):
        return image

    first.version = second.version = "1"
    assert _identities({"augment": first}) != _identities({"augment": second})
