"""The network of a fitted ObjectDetector: feature maps of images, and the head on them."""

import copy
from contextlib import closing, contextmanager
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from sklearn_dl.runtimes._scoring_loop import score
from sklearn_dl.runtimes.onnx._graph import resolve_providers, shared_session
from sklearn_dl.runtimes.torch._device import torch_settings
from sklearn_dl.scoring._input_sources import PixelSource
from sklearn_dl.training._batches import some_positions
from sklearn_dl.training._feature_store import FeatureStore
from sklearn_dl.training._ragged import Ragged
from sklearn_dl.training._rows import Read
from sklearn_dl.utils._threads import thread_budget
from sklearn_dl.vision._backbone import (
    FittedImageNetwork,
    FolderBackbone,
    ModuleBackbone,
    OnnxBackbone,
)
from sklearn_dl.vision._features import BATCH, NetworkAsGraph, onnx_providers, pixel_array
from sklearn_dl.vision._image_rows import digest_or_none
from sklearn_dl.vision.detection._decoding import candidates_of
from sklearn_dl.vision.detection._map_source import graph_maps
from sklearn_dl.vision.detection._maps import (
    MapsFile,
    StoredMaps,
    batches_of,
    flattened,
    groups_of,
)

# the maps of the head are standardised by those of at most this number of rows
_ROWS_TO_STANDARDISE = 64
# the head computes the stored maps of this number of rows at once
_ROWS_AT_ONCE = 8
# rows whose maps are looked up in `memory` at once
_ROWS_TO_LOOK_UP = 64


class FittedDetectionNetwork(FittedImageNetwork):
    """A backbone and a DetectionHead.

    If only the head is trained, the live network has no body: the pretrained backbone computes the
    feature maps, with ONNX Runtime if it is an ONNX graph.

    Parameters
    ----------
    model, content, live, trained
        As in FittedNetwork.
    trains_body : bool, default=False
        Whether the fit that this object is used for trains the backbone.
    """

    # no features are kept in memory
    rows_of_initial_head = 0
    takes_head = False

    def __init__(self, model, content, live=None, trained=None, trains_body=False):
        super().__init__(model, content, live, trained)
        self.trains_body = trains_body
        self._file: Any = None

    def training_body(self, trains_body):
        """The same network for a fit that trains the backbone, or not."""
        copied = copy.copy(self)
        copied.trains_body = trains_body
        return copied

    @property
    def needs_torch(self):
        return True

    @property
    def stores_features(self):
        return not self.trains_body

    @contextmanager
    def for_fit(self):
        if self.trains_body:
            yield self
            return
        with closing(MapsFile()) as file:
            network = copy.copy(self)
            network._file = file
            yield network

    def with_live(self, network):
        copied = super().with_live(network)
        copied._file = None  # it is closed when the fit ends
        return copied

    def features(self, rows, where):
        """Compute the maps of rows: StoredMaps, or no values if the fit trains the backbone."""
        where = self.resolved(where)
        if self._file is None:
            errors = self._compute(rows, where, lambda positions, maps: None)
            return Read(np.empty((len(rows), 0), dtype=np.float32), errors)
        return self._stored(rows, where)

    def outputs(self, head, rows, where):
        """Compute candidates, as `candidates_of` returns them: a Read with a Ragged."""
        where = self.resolved(where)
        network = self.head_network(where)
        found = [np.empty((0, 6)) for _ in range(len(rows))]

        def keep(positions, maps):
            made = self._candidates(network, maps, rows, positions, where)
            for position, candidates in zip(positions.tolist(), made, strict=True):
                found[position] = candidates

        errors: dict = {}
        with torch_settings(where.n_threads):
            if rows.maps is None:
                errors = self._compute(rows, where, keep)
            else:
                for positions in batches_of(rows.canvases, _ROWS_AT_ONCE):
                    keep(positions, rows.maps.read(positions))
                    if where.done is not None:
                        where.done(len(positions))
        return Read(Ragged(np.concatenate(found), [len(some) for some in found]), errors)

    def with_views(self, rows, seed, where):
        if not rows.is_augmented or self._file is None:
            return rows
        views = rows.views(np.random.default_rng([seed, 2]))
        # other fits seldom draw the same views: their maps are not worth keeping
        where = self.resolved(where)._replace(memory=None)
        stored = [view.with_features(self._stored(view, where).values) for view in views]
        return rows.with_stored_views(stored)

    def feed(self, rows, network):
        from sklearn_dl.vision.detection._feed import DetectionFeed

        return DetectionFeed(rows, self.content.pixels)

    def check(self, trainable_layers):
        if not self.trains_body:
            return
        from sklearn_dl.vision.detection._detection_network import DetectionNetwork

        network = DetectionNetwork(self.content.network(weights=False).body).eval()
        network.measure(self.content.name)
        network.train_last(trainable_layers)

    def start_head(self, network, rows, problem, seed, where):
        """Add a new DetectionHead to `network`. It is standardised with the maps of some rows."""
        import torch

        from sklearn_dl.vision.detection._head import DetectionHead

        if network.body is None:
            sizes = self._source(where).sizes
        else:
            sizes = network.measure(self.content.name)
        head = DetectionHead(sizes.channels, sizes.strides, len(problem.classes))
        head.initialise(seed)
        some = rows.take(np.sort(some_positions(len(rows), seed, _ROWS_TO_STANDARDISE)))
        parts: list = [[] for _ in sizes.channels]

        def keep(positions, maps):
            for level, values in enumerate(maps):
                parts[level].append(np.moveaxis(values, 1, 0).reshape(values.shape[1], -1))

        if some.maps is None:
            self._compute(some, where, keep)
        else:
            for positions in batches_of(some.canvases, _ROWS_AT_ONCE):
                keep(positions, some.maps.read(positions))
        head.standardise([torch.from_numpy(np.concatenate(part, axis=1)) for part in parts])
        network.head = head
        network.move_to(where.device)

    def network_to_train(self, device):
        from sklearn_dl.vision.detection._detection_network import DetectionNetwork

        with torch_settings(), self._lock:
            if not self.is_trained:
                if self.trains_body:
                    return self._pretrained().move_to(device)
                return DetectionNetwork(None).move_to(device)
            live = self._live_on(device)
            network = copy.deepcopy(live)
            if self.trains_body and network.body is None:
                network.body = self._pretrained().body
                network.move_to(device)
            if self.trains_body:
                network.measure(self.content.name)  # a loaded network does not know its maps yet
        return network.requires_grad_(True)

    @property
    def runs_a_graph(self):
        """Whether an ONNX graph computes the maps."""
        return isinstance(self.content, OnnxBackbone) and not self._has_body()

    def maps_network(self, where):
        """The DetectionNetwork that computes the maps, if no graph does: do not train it."""
        if self._has_body():
            network = self.on(where.device, where.precision)
        else:
            network = self._shared(where.device, where.precision)
        network.measure(self.content.name)
        return network

    def head_network(self, where):
        """The DetectionNetwork with the head: do not train it."""
        with torch_settings(), self._lock:
            return self._live_on(where.device)

    def for_pickle(self, content):
        if not isinstance(self.content, ModuleBackbone) or self._has_body():
            return super().for_pickle(content)
        # the callable may make a different network where the pickle is loaded
        live = copy.deepcopy(self._live_on("cpu"))
        live.body = self._pretrained().body
        return super(FittedDetectionNetwork, self.with_live(live)).for_pickle(content)

    def _has_body(self):
        """Whether the trained network has a body of its own."""
        if self.live is not None:
            return self.live.body is not None
        return self.trained is not None and "body." in _header(self.trained)

    def _candidates(self, network, maps, rows, positions, where):
        """The candidates of rows with equal canvases, from their maps."""
        import torch

        with torch.inference_mode():
            tensors = [torch.from_numpy(values).to(where.device) for values in maps]
            logits, distances = network.head(tensors)
            return candidates_of(
                logits,
                distances,
                network.head.stride,
                rows.moves[positions],
                rows.sizes[positions],
            )

    def _source(self, where):
        """What computes the maps of this network: a _Source. `where` must be resolved."""
        budget = thread_budget(where.n_threads)
        if self.runs_a_graph:
            names, sizes = graph_maps(self.content.content)

            def session(n_threads):
                content = self.whole_content().content
                return shared_session(content, names, n_threads, onnx_providers(where.device))

            return _Source(session, budget, sizes)
        network = self.maps_network(where)
        sizes = network.measure(self.content.name)
        graph = NetworkAsGraph(network, where.device, len(sizes.used))
        return _Source(lambda n_threads: graph, min(2, budget), sizes)

    def _compute(self, rows, where, keep):
        """Compute the maps of rows.

        Parameters
        ----------
        rows : DetectionRows
        where : Where
            Resolved.
        keep : callable(positions, maps)
            Gets the maps of some rows with equal canvases: int ndarray, and list of float32 ndarray
            of shape (n, C, h, w). It is called by one thread at a time.

        Returns
        -------
        errors : dict of int to RowError
        """
        errors = rows.unreadable_rows()
        good = np.setdiff1d(np.arange(len(rows)), list(errors))
        source = self._source(where)
        for group in groups_of(rows.canvases[good]):
            positions = good[group]
            array = pixel_array(rows.on_canvas(positions), self.content.pixels)
            n_workers = source.n_workers if len(array) >= 2 * source.n_workers else 1
            graph = source.open(max(1, source.n_workers // n_workers))
            collector = _Collector(rows, positions, keep)
            numbers = array.numbers.tolist()
            pixels = PixelSource(array, graph.inputs[0], numbers=numbers)
            with torch_settings(where.n_threads):
                score(
                    graph,
                    {pixels.spec.name: pixels},
                    numbers,
                    source.batch_size(graph),
                    n_workers,
                    where.done,
                    collector,
                )
            errors |= {int(positions[p]): error for p, error in collector.errors.items()}
        return errors

    def _stored(self, rows, where):
        """Compute the maps of rows and write them to the file: a Read with StoredMaps.

        Maps that `where.memory` has are not computed.
        """
        file, sizes = self._file, self._source(where).sizes
        starts = np.full(len(rows), -1, dtype=np.int64)
        errors: dict = {}

        def write(some, numbers):
            def keep(positions, maps):
                for i, position in enumerate(positions.tolist()):
                    starts[numbers[position]] = file.write(flattened([m[i] for m in maps]))

            found = self._compute(some, where, keep)
            errors.update({int(numbers[p]): error for p, error in found.items()})

        if where.memory is None or self._has_body() or not self.content.is_identified:
            write(rows, np.arange(len(rows)))
            return Read(StoredMaps(file, starts, rows.canvases, sizes.pairs), errors)
        stored = StoredMaps(file, starts, rows.canvases, sizes.pairs)
        depends_on = (self.content.sha256, self.content.pixels, sizes, self._runs_on(where))
        store = FeatureStore(where.memory, depends_on, dtype="<f2")
        for start in range(0, len(rows), _ROWS_TO_LOOK_UP):
            numbers = np.arange(start, min(start + _ROWS_TO_LOOK_UP, len(rows)))
            self._through(store, rows.take(numbers), numbers, stored, write, where)
        return Read(stored, errors)

    def _through(self, store, rows, numbers, stored, write, where):
        """Write the maps of some rows to the file: those that `store` has, or else computed ones.

        The computed ones are saved in `store`.
        """
        keys = []
        for position in range(len(rows)):
            image = None if rows.is_unreadable(position) else rows.on_its_canvas(position)
            digest = None if image is None else digest_or_none(image)
            keys.append(None if digest is None else store.key(digest))
        known = store.load(keys)
        missing = [i for i, key in enumerate(keys) if key not in known]
        for i, key in enumerate(keys):
            if key in known:
                stored.starts[numbers[i]] = stored.file.write(known[key])
        if where.done is not None:
            where.done(len(keys) - len(missing))
        if missing:
            write(rows.take(np.array(missing)), numbers[missing])
            made = [i for i in missing if stored.starts[numbers[i]] >= 0 and keys[i] is not None]
            store.save({keys[i]: stored.flat(numbers[i]) for i in made})

    def _runs_on(self, where):
        if isinstance(self.content, OnnxBackbone):
            return "onnxruntime", resolve_providers(onnx_providers(where.device))
        return str(where.device), where.precision

    def _key(self):
        return "detection network", *super()._key()[1:]

    def _pretrained(self):
        from sklearn_dl.vision.detection._detection_network import DetectionNetwork

        return DetectionNetwork(self.whole_content().network().body).eval()

    def _load(self):
        """Make the DetectionNetwork of the tensors in `trained`, on the CPU."""
        from safetensors.torch import load

        from sklearn_dl.vision.detection._detection_network import DetectionNetwork
        from sklearn_dl.vision.detection._head import DetectionHead

        tensors = load(self.trained)
        body = None
        if self._has_body():
            # the module's structure is in the folder
            needs_files = isinstance(self.content, FolderBackbone) and self.content.data is None
            content = self.whole_content() if needs_files else self.content
            body = content.network(weights=False).body
        start = "head."
        head = DetectionHead.like(
            {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}
        )
        network = DetectionNetwork(body, head)
        network.load_state_dict(tensors)
        return network.eval()


def _header(content):
    """The header of a safetensors file, which has the names of its tensors."""
    return content[8 : 8 + int.from_bytes(content[:8], "little")].decode()


class _Source(NamedTuple):
    """What computes feature maps.

    Attributes
    ----------
    open : callable(n_threads) -> graph, as `score` takes it
    n_workers : int
        The number of threads that may be busy.
    sizes : MapSizes
    """

    open: Any
    n_workers: int
    sizes: Any

    def batch_size(self, graph):
        """The number of images that `graph` gets at once."""
        if isinstance(graph, NetworkAsGraph):
            return BATCH["cpu" if graph.device.type == "cpu" else "gpu"]
        return 1 if graph.mixes_rows else BATCH["gpu" if graph.on_gpu else "onnx"]


class _Collector:
    """Passes the maps of a group of rows to a function, and checks that they are finite."""

    def __init__(self, rows, group, keep):
        self.rows, self.group, self.keep = rows, group, keep
        self.errors = {}
        self._lock = Lock()

    def add(self, positions, outputs, n_fed):
        """Pass on the maps of the rows at some positions in the group."""
        maps = [output[: len(positions)] for output in outputs]
        rows = self.group[positions]
        finite = np.all([np.isfinite(values).all(axis=(1, 2, 3)) for values in maps], axis=0)
        for i in np.flatnonzero(~finite).tolist():
            values = np.concatenate([level[i].ravel() for level in maps])
            error = self.rows.not_finite(int(rows[i]), values, "features")
            self.errors[positions[i]] = error
        if finite.any():
            with self._lock:
                self.keep(rows[finite], [values[finite] for values in maps])
