"""The sizes that an AV1 stream states in an AVIF file, for its items and its tracks."""

import struct
from io import BytesIO

import pytest
from PIL import Image

from sklearn_dl.images import ImageReadError
from sklearn_dl.images._av1 import av1_sizes
from tests.images.hostile_images import BIG, box
from tests.images.image_files import encode, gradient, load

RGB = Image.fromarray(gradient(16, 16))
FTYP = box(b"ftyp", b"avif\0\0\0\0avif")


def full_box(kind, data):
    """An ISO box of version 0 and without flags."""
    return box(kind, b"\0\0\0\0" + data)


def test_sizes_of_items_and_of_tracks():
    frames = [Image.new("RGBA", (66, 34), color) for color in ("red", "blue")]
    data = encode(frames[0], "AVIF", save_all=True, append_images=frames[1:])
    assert set(av1_sizes(BytesIO(data))) == {(66, 34)}
    for hidden in (b"meta", b"moov"):
        assert set(av1_sizes(BytesIO(data.replace(hidden, b"free")))) == {(66, 34)}
    nothing = data.replace(b"meta", b"free").replace(b"moov", b"free")
    assert list(av1_sizes(BytesIO(nothing))) == []


def bits(*fields):
    """A string of 0 and 1: each (value, number of bits), one after the other."""
    return "".join(f"{value:0{n_bits}b}" for value, n_bits in fields)


def sequence_header(size, ticks):
    """A sequence header (AV1 specification, 5.5.1) that has every optional part.

    Parameters
    ----------
    size : tuple of int
    ticks : str of 0 and 1
        num_ticks_per_picture_minus_1, of variable length.
    """
    width, height = size
    header = bits(
        (0, 3),  # seq_profile
        (0, 1),  # still_picture
        (0, 1),  # reduced_still_picture_header
        (1, 1),  # timing_info_present_flag
        (1, 32),  # num_units_in_display_tick
        (1, 32),  # time_scale
        (1, 1),  # equal_picture_interval
    )
    header += ticks
    header += bits(
        (1, 1),  # decoder_model_info_present_flag
        (9, 5),  # buffer_delay_length_minus_1: delays of 10 bits
        (7, 32),  # num_units_in_decoding_tick
        (0, 5),  # buffer_removal_time_length_minus_1
        (3, 5),  # frame_presentation_time_length_minus_1
        (1, 1),  # initial_display_delay_present_flag
        (1, 5),  # operating_points_cnt_minus_1: two points
    )
    with_everything = bits(
        (0, 12),  # operating_point_idc
        (8, 5),  # seq_level_idx, so high that a tier follows
        (1, 1),  # seq_tier
        (1, 1),  # decoder_model_present_for_this_op
        (5, 10),  # decoder_buffer_delay
        (6, 10),  # encoder_buffer_delay
        (0, 1),  # low_delay_mode_flag
        (1, 1),  # initial_display_delay_present_for_this_op
        (2, 4),  # initial_display_delay_minus_1
    )
    with_nothing = bits(
        (0, 12),  # operating_point_idc
        (7, 5),  # seq_level_idx, so low that no tier follows
        (0, 1),  # decoder_model_present_for_this_op
        (0, 1),  # initial_display_delay_present_for_this_op
    )
    header += with_everything + with_nothing
    header += bits(
        (16 - 1, 4),  # frame_width_bits_minus_1
        (15 - 1, 4),  # frame_height_bits_minus_1
        (width - 1, 16),
        (height - 1, 15),
    )
    n_bytes = -(-len(header) // 8)
    return int(header.ljust(8 * n_bytes, "0"), 2).to_bytes(n_bytes, "big")


@pytest.mark.parametrize("ticks", ["1", "00100", "0" * 32], ids=["one bit", "five bits", "zeros"])
def test_size_of_a_sequence_header_with_every_part(ticks):
    header = sequence_header(BIG, ticks)
    temporal_delimiter = b"\x12\0"
    with_extension = bytes([0x0E, 0, len(header)]) + header
    stream = temporal_delimiter + with_extension
    # one item in two parts, which are read as one stream
    extents = struct.pack(">HHHII", 1, 0, 2, 24, 3) + struct.pack(">II", 27, len(stream) - 3)
    iloc = box(b"iloc", struct.pack(">IBBH", 0, 0x44, 0, 1) + extents)
    ftyp = box(b"ftyp", b"avif\0\0\0\0")
    data = ftyp + box(b"mdat", stream) + full_box(b"meta", iloc)
    assert list(av1_sizes(BytesIO(data))) == [BIG]
    with pytest.raises(ImageReadError, match="20000 x 17850 pixels, more than Pillow's limit"):
        load(data, max_pixels=None)


def test_a_file_of_too_many_parts_is_refused(nothing_is_decoded):
    data = encode(RGB, "AVIF") + box(b"free", b"") * 100_001
    with pytest.raises(ImageReadError, match="more than 100000 parts"):
        load(data)


def test_a_file_of_too_many_images_is_refused(nothing_is_decoded):
    """Five items that are the same 16 x 16 image: each is counted."""
    sound = encode(RGB, "AVIF")
    offset, length = struct.unpack_from(">II", sound, sound.index(b"iloc") + 18)
    place = struct.pack(">HHII", 0, 1, len(FTYP) + 8, length)
    items = b"".join(struct.pack(">H", number) + place for number in range(5))
    iloc = box(b"iloc", struct.pack(">IBBH", 0, 0x44, 0, 5) + items)
    mdat = box(b"mdat", sound[offset : offset + length])
    data = FTYP + mdat + full_box(b"meta", iloc)
    with pytest.raises(ImageReadError, match="more than 4 times the pixels of max_pixels=256"):
        load(data, max_pixels=256)
