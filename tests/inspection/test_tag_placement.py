import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_dl.inspection._tag_placement import place_tags

AREA = (0, 0, 100, 100)


def tags(places, sizes):
    corners = np.array([place.corner for place in places])
    return np.hstack([corners, corners + sizes])


def overlap(a, b):
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return sides.clip(0).prod()


@pytest.mark.parametrize(
    ("box", "corner"),
    [
        ([20, 20, 60, 60], (20, 60)),  # above
        ([20, 20, 60, 95], (20, 10)),  # no room above: below
        ([0, 0, 100, 100], (0, 90)),  # the box is the image: inside
        ([-50, 40, 5, 60], (0, 60)),  # the part of the box that is in the image counts
        ([90, 20, 100, 60], (70, 60)),  # aligned on the right
    ],
    ids=["above", "below", "inside", "clipped", "right"],
)
def test_place_of_one_tag(box, corner):
    (place,) = place_tags(np.array([box]), [(30, 10)], AREA)
    assert place.corner == corner
    assert not place.is_far


def test_two_tags_of_one_box():
    places = place_tags(np.array([[20, 20, 60, 60]] * 2), [(30, 10)] * 2, AREA)
    assert places[0].corner == (20, 60)
    assert places[1].corner == (20, 10)


def test_a_tag_hides_no_small_box_if_it_need_not():
    boxes = np.array([[20, 20, 60, 60], [25, 62, 33, 68]])
    (place, _) = place_tags(boxes, [(30, 10)] * 2, AREA)
    assert place.corner == (20, 10)


def test_without_room_at_the_box_a_tag_goes_elsewhere_and_is_joined():
    boxes = np.array([[45, 45, 55, 55]] * 16)
    sizes = np.full((16, 2), [30.0, 10.0])
    places = place_tags(boxes, sizes, AREA)
    assert not places[0].is_far
    assert places[-1].is_far
    placed = tags(places, sizes)
    assert max(overlap(placed[i], placed[j]) for i in range(16) for j in range(i)) == 0
    # near the box, not at the first free place of the image
    assert np.abs(placed[-1].reshape(2, 2).mean(axis=0) - 50).max() < 50


def test_tags_that_fill_the_area_overlap_inside_it():
    sizes = np.full((30, 2), [50.0, 20.0])
    placed = tags(place_tags(np.array([[10, 10, 90, 90]] * 30), sizes, AREA), sizes)
    assert placed.min() >= 0
    assert placed.max() <= 100


def test_a_tag_that_is_wider_than_the_area_starts_at_its_left_edge():
    (place,) = place_tags(np.array([[20, 20, 60, 60]]), [(150, 10)], AREA)
    assert place.corner == (0, 60)


def test_no_tags():
    assert place_tags(np.empty((0, 4)), [], AREA) == []


@given(st.integers(0, 2**32 - 1), st.integers(1, 25))
def test_tags_are_inside_and_hide_no_other(seed, n_boxes):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 380, (n_boxes, 2))
    boxes = np.hstack([low, low + rng.uniform(0, 100, (n_boxes, 2))])
    sizes = np.column_stack([rng.uniform(20, 70, n_boxes), np.full(n_boxes, 12)])
    places = place_tags(boxes, sizes, (0, 0, 400, 400))
    placed = tags(places, sizes)
    assert placed.min() >= 0
    assert placed.max() <= 400 + 1e-9
    for i in range(n_boxes):
        assert all(overlap(placed[i], placed[j]) < 1e-6 for j in range(i))
    assert places == place_tags(boxes, sizes, (0, 0, 400, 400))
