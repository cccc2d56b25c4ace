"""Pixel extraction without other steps, against four ways to write it with numpy and Pillow."""

import numpy as np
from PIL import Image

from benchmarks._ratio import compare
from sklearn_dl import ImageLoader, PixelExtractor


def run(quick=False):
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (224, 224, 3), np.uint8)) for _ in range(64)]
    pixels = PixelExtractor(offset=127, scale=1 / 128).transform(ImageLoader().transform(images))
    out = np.empty((64, 3, 224, 224), np.float32)
    offset, scale = np.float32(127), np.float32(1 / 128)
    table = ((np.arange(256) - 127) / 128).astype(np.float32)

    def ours(_):
        for start in range(0, 64, 4):  # in batches, as a scorer reads them
            pixels.read(range(start, start + 4))

    def in_place(_):
        for image, place in zip(images, out, strict=True):
            np.subtract(np.asarray(image).transpose(2, 0, 1), offset, out=place)
            np.multiply(place, scale, out=place)
        return out

    def by_channel(_):
        for image, place in zip(images, out, strict=True):
            for band, plane in zip(image.split(), place, strict=True):
                np.subtract(np.asarray(band), offset, out=plane)
                np.multiply(plane, scale, out=plane)
        return out

    def by_table(_):
        for image, place in zip(images, out, strict=True):
            levels = np.asarray(image)
            for channel in range(3):
                np.take(table, levels[..., channel], out=place[channel], mode="clip")
        return out

    def plain(_):
        return np.stack(
            [(np.asarray(i).astype(np.float32).transpose(2, 0, 1) - 127) / 128 for i in images]
        )

    rivals = {f.__name__: f for f in (in_place, by_channel, by_table, plain)}
    for rival in rivals.values():
        assert np.abs(rival(0) - np.asarray(pixels)).max() < 1e-6
    ratios = compare(ours, rivals, 5 if quick else 40)
    fastest = min(ratios, key=lambda name: ratios[name].rival_seconds)
    return [
        {
            "what": "pixel extraction alone, 64 images of 224",
            "rival": name.replace("_", " ") + (" (the fastest)" if name == fastest else ""),
            "bar": round(1 / 1.3, 2) if name == fastest else None,
            "ms_each": 1000 * ratio.ours_seconds / 64,
            **ratio._asdict(),
        }
        for name, ratio in ratios.items()
    ]
