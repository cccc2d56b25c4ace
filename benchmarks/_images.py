"""Images that are installed with scikit-image and scikit-learn, as JPEGs of a given size."""

import tempfile
from pathlib import Path

import numpy as np
import skimage
import sklearn.datasets
from PIL import Image, ImageOps

_NAMES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "retina.jpg",
)


def image_paths(long_side, n):
    """Paths of `n` different JPEGs whose longer side has `long_side` pixels.

    They are crops of the packages' images, half of them mirrored, with quality 90. The temporary
    folder keeps them for the next run.
    """
    folder = Path(tempfile.gettempdir()) / "sklearn_dl_benchmarks" / str(long_side)
    folder.mkdir(parents=True, exist_ok=True)
    sources = [Path(skimage.data_dir) / name for name in _NAMES]
    sources += sorted((Path(sklearn.datasets.__file__).parent / "images").glob("*.jpg"))
    rng = np.random.default_rng(0)
    paths = []
    for i in range(n):
        zoom, left, top = rng.uniform(0.7, 1), rng.uniform(), rng.uniform()
        path = folder / f"{i:04}.jpg"
        paths.append(str(path))
        if path.exists():
            continue
        image = Image.open(sources[i % len(sources)]).convert("RGB")
        width, height = round(image.width * zoom), round(image.height * zoom)
        x, y = round(left * (image.width - width)), round(top * (image.height - height))
        image = image.crop((x, y, x + width, y + height))
        if i % 2:
            image = ImageOps.mirror(image)
        scale = long_side / max(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        partial = path.with_suffix(".tmp")
        image.resize(size, Image.Resampling.BICUBIC).save(partial, "JPEG", quality=90)
        partial.rename(path)
    return paths
