"""Images that are larger than `tile` are read in tiles."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from PIL import Image
from scipy.ndimage import find_objects, label

from sklearn_dl import DetectionScorer
from sklearn_dl.images import ImageReadError
from sklearn_dl.images._lazy import Decoding, LazyImage
from sklearn_dl.vision.detection._tiles import Tiles, TileSource, tile_boxes
from tests.vision.detection.detectors import ANCHORS, color_detector, constant_detector, model

COLORS = ["red", "green", "blue"]
_DECODING = Decoding("RGB", True, "raise", None)


def rectangles_of(outputs, geometry):
    """The bright rectangles of each color in the pixels that the network returns."""
    boxes, scores, classes = [], [], []
    for color, plane in enumerate(outputs["pixels"] > 200):
        for rows, columns in find_objects(label(plane)[0]):
            boxes.append([columns.start, rows.start, columns.stop, rows.stop])
            scores.append(outputs["pixels"][color, rows.start, columns.start] / 255)
            classes.append(color)
    return np.array(boxes), np.array(scores), np.array(classes, dtype=int)


def rectangle_finder(tile=64, batch="N", **options):
    """A detector that finds every rectangle exactly, and any part of it that it sees."""
    shape = [batch, 3, tile, tile]
    graph = model(
        [helper.make_node("Identity", ["image"], ["pixels"])],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [],
    )
    return DetectionScorer(
        graph,
        format=rectangles_of,
        classes=COLORS,
        scale=1.0,
        resize_mode="pad_end",
        tile=tile,
        **options,
    )


def scene(*objects, size=(200, 150)):
    """A black image with rectangles: (color, (x0, y0, x1, y1)) each."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for color, (x0, y0, x1, y1) in objects:
        image[y0:y1, x0:x1, COLORS.index(color)] = 255
    return image


def objects_of(found):
    edges = zip(*(found[name].tolist() for name in ("x0", "y0", "x1", "y1")), strict=True)
    return sorted(zip(found["label"].tolist(), edges, strict=True))


def test_small_objects_are_found_in_tiles_only():
    detector = DetectionScorer(
        color_detector(), format="yolov2", classes=COLORS, anchors=ANCHORS, score_threshold=0.5
    )
    objects = [("blue", (1312, 0, 1344, 32)), ("green", (640, 320, 672, 352))]
    objects += [("red", (256, 256, 288, 288))]  # in four tiles
    image = scene(*objects, size=(1344, 832))
    assert len(detector.predict([image])[0]) == 0
    (found,) = detector.set_params(tile=320).predict([image])
    assert objects_of(found) == objects
    assert (found["score"] > 0.99).all()


@pytest.mark.parametrize(
    "box",
    [
        (45, 20, 60, 30),  # whole in two tiles
        (55, 50, 75, 58),  # whole in one, cut by another
        (45, 42, 70, 66),  # whole in none of the tiles at a corner
        (20, 20, 130, 30),  # over three tiles
        (10, 5, 190, 140),  # over all
        (0, 0, 64, 64),  # a whole tile
        (63, 0, 65, 150),
    ],
    ids=str,
)
@pytest.mark.parametrize("overlap", [0.2, 0.5, 0.75])
def test_an_object_at_the_edge_of_a_tile_is_found_once(box, overlap):
    image = scene(("red", box))
    (found,) = rectangle_finder(tile_overlap=overlap).predict([image])
    assert objects_of(found) == [("red", box)]


@pytest.mark.slow
@given(st.data())
def test_rectangles_anywhere(data):
    """One in each field of a grid, of any size up to the field's, whatever the tiles are."""
    objects = []
    for column in range(4):
        for row in range(3):
            x0, y0 = (data.draw(st.integers(0, 30)) for _ in range(2))
            x1, y1 = (data.draw(st.integers(low + 4, 46)) for low in (x0, y0))
            color = data.draw(st.sampled_from(COLORS))
            x, y = 50 * column, 50 * row
            objects.append((color, (x + x0, y + y0, x + x1, y + y1)))
    overlap = data.draw(st.sampled_from([0.2, 0.4]))
    (found,) = rectangle_finder(tile_overlap=overlap).predict([scene(*objects)])
    assert objects_of(found) == sorted(objects)


def test_neighbours_at_an_edge_are_not_joined():
    # tiles start at 0, 45, 91, 136: both rectangles are cut by the second and the third
    objects = [("red", (95, 10, 107, 20)), ("red", (95, 24, 160, 34)), ("blue", (95, 10, 160, 20))]
    (found,) = rectangle_finder().predict([scene(*objects)])
    assert objects_of(found) == sorted(objects)


def test_thresholds_count_for_the_whole_image():
    image = scene(("red", (10, 10, 20, 20)), ("blue", (150, 100, 170, 120)))
    image[10:20, 10:20] = (240, 0, 0)
    image[12:18, 100:110] = (0, 220, 0)
    (found,) = rectangle_finder(max_detections=2).predict([image])
    assert found["label"].tolist() == ["blue", "red"]
    (found,) = rectangle_finder(score_threshold=0.9).predict([image])
    assert found["label"].tolist() == ["blue", "red"]
    np.testing.assert_allclose(found["score"], [1, 240 / 255])


def test_classes_that_suppress_each_other():
    # a long object whose parts, at one place, look green first and blue at the end
    image = scene(("green", (40, 10, 80, 20)), ("blue", (41, 10, 80, 20)))
    image[10:20, 41:80, 2] = 230
    (found,) = rectangle_finder().predict([image])
    assert objects_of(found) == [("blue", (41, 10, 80, 20)), ("green", (40, 10, 80, 20))]
    (found,) = rectangle_finder(class_agnostic=True).predict([image])
    assert objects_of(found) == [("green", (40, 10, 80, 20))]


def test_formats_without_suppression_find_an_object_once():
    # every tile is one object: neighbours overlap by 40 % of their sides
    logits, boxes = [[-9.0, 5.0]], [[0.5, 0.5, 1.0, 1.0]]
    graph = constant_detector({"logits": logits, "pred_boxes": boxes})
    detector = DetectionScorer(graph, format="rt-detr", tile=100, tile_overlap=0.4)
    (found,) = detector.predict([np.zeros((100, 160, 3), np.uint8)])
    assert objects_of(found) == [(1, (0, 0, 160, 100))]


def many_images():
    rng = np.random.default_rng(0)
    images = []
    for _ in range(7):
        x, y = rng.integers(0, 150, 2)
        size = tuple(rng.integers(40, 260, 2).tolist())
        images.append(scene(("red", (x, y, x + 12, y + 12)), ("blue", (5, 6, 17, 20)), size=size))
    return images


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["N", 1, 3])
def test_batches_and_threads_do_not_matter(batch):
    images = many_images()
    expected = rectangle_finder(n_threads=1).predict(images)
    assert {len(found) for found in expected} == {1, 2}
    for batch_size in (1, 2, 64):
        for n_threads in (1, 3):
            options = {"batch_size": batch_size, "n_threads": n_threads}
            found = rectangle_finder(batch=batch, **options).predict(images)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)
    for image, alone in zip(images, expected, strict=True):
        np.testing.assert_array_equal(rectangle_finder().predict([image])[0], alone)


def jpeg(image):
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def test_an_image_no_larger_than_a_tile_is_read_whole():
    options = {"format": "yolov2", "anchors": ANCHORS, "score_threshold": 0.01}
    noise = np.random.default_rng(0).integers(0, 256, (60, 120, 3), np.uint8)
    # so large that a JPEG is decoded at a reduced scale
    image = np.asarray(Image.fromarray(noise).resize((2400, 1200)))
    for X in ([image], [jpeg(image)]):
        whole = DetectionScorer(color_detector(), **options).predict(X)[0]
        assert len(whole) > 0
        for tile in ((2400, 1200), 4000):
            found = DetectionScorer(color_detector(), tile=tile, **options).predict(X)[0]
            np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("size", [(640, 320), (320, 640), (700, 100)])
def test_tiles_are_resized(size):
    detector = DetectionScorer(
        color_detector(), format="yolov2", classes=COLORS, anchors=ANCHORS, tile=(200, 160)
    )
    # a cell of 32 pixels is 20 x 16 pixels of a tile
    boxes = tile_boxes(size, (200, 160), 0.2)
    for x0, y0, _, y1 in boxes[0], boxes[-1]:
        height = (y1 - y0) // 10
        box = (x0 + 60, y0 + 3 * height, x0 + 80, y0 + 4 * height)
        (found,) = detector.predict([scene(("green", box), size=size)])
        assert ("green", box) in objects_of(found)


def test_exif_rotation():
    image = scene(("red", (55, 50, 75, 58)), ("green", (180, 5, 195, 40)))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned = Image.fromarray(image).transpose(Image.Transpose.ROTATE_90)
    buffer = BytesIO()
    turned.save(buffer, "PNG", exif=exif)
    turned.getexif().update(exif)  # of a PIL image too
    for X in ([buffer.getvalue()], [Image.open(buffer)]):
        (found,) = rectangle_finder().predict(X)
        assert objects_of(found) == [("green", (180, 5, 195, 40)), ("red", (55, 50, 75, 58))]


def test_bad_images(tmp_path):
    good = scene(("red", (55, 50, 75, 58)))
    (tmp_path / "bad.jpg").write_bytes(b"not an image")
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    (tmp_path / "cut.jpg").write_bytes(jpeg(noise)[:9000])  # its header can be read
    Image.fromarray(good).save(tmp_path / "good.png")
    paths = [tmp_path / name for name in ("good.png", "cut.jpg", "bad.jpg", "good.png")]
    for bad in (1, 2):
        name = paths[bad].name
        X = [paths[0], paths[bad]]
        with pytest.raises(ImageReadError, match=f"Row 1: cannot read .*{name}") as caught:
            rectangle_finder().predict(X)
        assert (caught.value.row, caught.value.source) == (1, str(paths[bad]))
    detector = rectangle_finder(on_error="nan", batch_size=3)
    with pytest.warns(UserWarning, match=r"2 of 4 images could not be read; .* Row 1: .*cut\.jpg"):
        found = detector.predict(paths)
    assert found[1] is found[2] is None
    assert [objects_of(found[i]) for i in (0, 3)] == [[("red", (55, 50, 75, 58))]] * 2
    with pytest.warns(UserWarning, match="2 of 4 images"):
        assert detector.predict_frame(paths)["image"].tolist() == [0, 3]
    with pytest.warns(UserWarning, match="1 of 1 images"):
        assert detector.predict(paths[2:3]).tolist() == [None]


def test_one_tile_without_numbers_is_an_error_of_the_image():
    """The network gives infinity where its pixels are bright."""
    shape = ["N", 3, 64, 64]
    node, value = helper.make_node, helper.make_tensor_value_info
    graph = model(
        [
            node("ReduceMax", ["image"], ["bright"], axes=[1, 2, 3], keepdims=1),
            node("Mul", ["bright", "large"], ["flat"]),
            node("Squeeze", ["flat", "axis"], ["output"]),
        ],
        [value("image", TensorProto.FLOAT, shape)],
        [value("output", TensorProto.FLOAT, ["N", 1, 1])],
        [
            helper.make_tensor("large", TensorProto.FLOAT, [], [1e38]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [3]),
        ],
    )
    detector = DetectionScorer(
        graph, format=lambda outputs, geometry: ([], [], []), tile=64, resize_mode="fill"
    )
    detector.set_params(scale=1.0, format=_no_infinity)
    dark, bright = scene(size=(200, 64)), scene(("red", (150, 10, 170, 20)), size=(200, 64))
    with pytest.raises(ValueError, match="Row 1: the network gave scores with infinity"):
        detector.predict([dark, bright, dark])
    with pytest.warns(UserWarning, match="1 of 3 images could not be read or scored"):
        found = detector.set_params(on_error="nan").predict([dark, bright, dark])
    assert [image is None for image in found] == [False, True, False]


def _no_infinity(outputs, geometry):
    return [[0, 0, 9, 9]], outputs["output"][0], [0]


def test_other_messages_name_the_row_of_the_image():
    value = helper.make_tensor_value_info
    shape = ["N", 3, 64, 64]
    graph = model(
        [
            helper.make_node("Cast", ["size"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Gather", ["image", "size"], ["picked"], axis=3),
            helper.make_node("Identity", ["image"], ["pixels"]),
        ],
        [value("image", TensorProto.FLOAT, shape), value("size", TensorProto.INT64, ["N", 1])],
        [value("pixels", TensorProto.FLOAT, shape), value("picked", TensorProto.FLOAT, None)],
        [],
    )
    images = [scene(size=(64, 64)), scene(size=(150, 64)), scene(size=(64, 64))]
    detector = rectangle_finder().set_params(model=graph, batch_size=1)
    # the second image has three tiles
    detector.set_params(extra_inputs={"size": lambda geometry: [geometry.image_size[0] / 3]})
    with pytest.raises(ValueError, match=r"Row 0: the value 21\.3"):
        detector.predict(images)
    detector.set_params(extra_inputs={"size": _size_that_fails}, on_error="raise")
    with pytest.raises(ValueError, match="The graph failed on rows 3 to 3"):
        detector.predict([*images, scene(size=(63, 64))])

    whole_numbers = model(
        [helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT)],
        [value("image", TensorProto.UINT8, shape)],
        [value("pixels", TensorProto.FLOAT, shape)],
        [],
    )
    detector = rectangle_finder().set_params(model=whole_numbers, scale=0.5, batch_size=7)
    images += [scene(("red", (5, 5, 9, 9)), size=(64, 64))]
    with pytest.raises(ValueError, match=r"Row 3: the value 127\.5 cannot be uint8"):
        detector.predict(images)


def _size_that_fails(geometry):
    return [99 if geometry.image_size[0] == 63 else 0]


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_an_image_is_decoded_once(monkeypatch, batch_size):
    decoded, kept = [], []
    original, original_read = LazyImage._decode, TileSource.read

    def decode(image):
        decoded.append(image.source)
        return original(image)

    def read(source, numbers):
        values = original_read(source, numbers)
        kept.append(len(source._decoded))
        return values

    monkeypatch.setattr(LazyImage, "_decode", decode)
    monkeypatch.setattr(TileSource, "read", read)
    images = [jpeg(scene(size=(150 + i, 100))) for i in range(5)]
    rectangle_finder(batch_size=batch_size, n_threads=1).predict(images)
    assert [source for source in decoded if isinstance(source, bytes)] == images
    assert max(kept) == 2


@given(
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.tuples(st.integers(20, 300), st.integers(20, 300)),
    st.floats(0, 0.8),
)
def test_tiles_cover_the_image(size, tile, overlap):
    boxes = np.array(tile_boxes(size, tile, overlap))
    seen = np.zeros(size[::-1], bool)
    for x0, y0, x1, y1 in boxes:
        assert 0 <= x0 < x1 <= size[0]
        assert 0 <= y0 < y1 <= size[1]
        seen[y0:y1, x0:x1] = True
    assert seen.all()
    assert (boxes[:, 2:] - boxes[:, :2] == np.minimum(size, tile)).all()
    for axis in range(2):
        starts = np.unique(boxes[:, axis])
        shared = tile[axis] - np.diff(starts)
        assert (shared >= overlap * tile[axis] - 1).all()  # starts are rounded
        # not one tile more than that overlap asks for
        assert len(starts) == 1 or (len(starts) - 2) * (1 - overlap) * tile[axis] < size[axis]
    assert len(np.unique(boxes, axis=0)) == len(boxes)


@given(st.integers(1, 300), st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_no_tile_is_cut_twice(side, tile, overlap):
    boxes = tile_boxes((side, 1), (tile, 1), overlap)
    assert len(set(boxes)) == len(boxes)


def test_progress_counts_images():
    sizes = [(64, 64), (300, 100), (10, 10), (150, 64)]
    tiles = Tiles([LazyImage(scene(size=size), _DECODING) for size in sizes], (64, 64), 0.2)
    counts = []
    done = tiles.per_image(counts.append)
    for start in range(0, len(tiles.rows), 4):
        done(len(tiles.rows[start : start + 4]))
    assert sum(counts) == 4
    assert counts[0] == 1
    assert len(counts) > 4
    assert tiles.per_image(None) is None


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"tile": 0}, "The 'tile' parameter"),
        ({"tile": (64, 64, 3)}, r"tile=\(64, 64, 3\) must be an int or \(width, height\)"),
        ({"tile_overlap": 1.0}, "The 'tile_overlap' parameter"),
        ({"tile_overlap": -0.1}, "The 'tile_overlap' parameter"),
    ],
    ids=str,
)
def test_parameters_out_of_range(params, match):
    detector = rectangle_finder().set_params(**params)
    for call in (detector.fit, detector.predict):
        with pytest.raises(ValueError, match=match):
            call([scene()])
