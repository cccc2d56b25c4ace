"""The network of a fitted ObjectDetector: feature maps of images, and the head on them."""

import copy
from contextlib import closing, contextmanager
from typing import Any

import numpy as np

from sklearn_dl.runtimes.onnx._graph import resolve_providers, shared_session
from sklearn_dl.runtimes.torch._device import torch_settings
from sklearn_dl.training._batches import some_positions
from sklearn_dl.training._feature_store import FeatureStore
from sklearn_dl.training._ragged import Ragged
from sklearn_dl.training._rows import Read
from sklearn_dl.utils._threads import thread_budget
from sklearn_dl.vision._backbone import (
    FittedImageNetwork,
    ModuleBackbone,
    OnnxBackbone,
)
from sklearn_dl.vision._features import NetworkAsGraph, onnx_providers
from sklearn_dl.vision.detection._decoding import candidates_of
from sklearn_dl.vision.detection._map_source import MapSource, graph_maps
from sklearn_dl.vision.detection._maps import MapsFile, batches_of
from sklearn_dl.vision.detection._storing import stored_maps

# a new head gets the mean and standard deviation of the maps of at most this number of rows
_ROWS_TO_STANDARDISE = 64
# the head processes the stored maps of this number of rows at once
_ROWS_AT_ONCE = 8


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
        """Return a copy for a fit that trains the backbone, or for one that does not."""
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
        copied._file = None  # the file is closed when the fit ends
        return copied

    def features(self, rows, where):
        """Compute the maps of rows: StoredMaps, or no values if the fit trains the backbone."""
        where = self.resolved(where)
        if self._file is None:
            errors = self._source(where).compute(rows, where, lambda positions, maps: None)
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
                errors = self._source(where).compute(rows, where, keep)
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
        # other fits seldom draw the same views, so `memory` does not keep their maps
        where = self.resolved(where)._replace(memory=None)
        with where.progress(len(views) * len(rows), "features of views") as where:
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
        if next(network.parameters(), None) is None:
            raise ValueError(
                f"{self.content.name} has no parameters, so trainable_layers={trainable_layers!r} "
                "has nothing to train: set trainable_layers=0."
            )
        network.measure(self.content.name)
        network.train_last(trainable_layers)

    def start_head(self, network, rows, problem, seed, where):
        """Add a new DetectionHead to `network`. Its means and scales are those of some rows."""
        import torch

        from sklearn_dl.vision.detection._head import DetectionHead

        if network.body is None:
            sizes = self._source(where).sizes
        else:
            sizes = network.measure(self.content.name)
        head = DetectionHead(sizes.channels, sizes.strides, len(problem.classes))
        head.initialise(seed)
        some = rows.take(np.sort(some_positions(len(rows), seed, _ROWS_TO_STANDARDISE)))
        # number of pixels, sums, and sums of squares of each channel
        sums: list = [np.zeros((3, n)) for n in sizes.channels]

        def keep(positions, maps):
            for level, values in enumerate(maps):
                pixels = values.astype(np.float64)
                sums[level] += [(pixels**power).sum(axis=(0, 2, 3)) for power in range(3)]

        if some.maps is None:
            self._source(where).compute(some, where, keep)
        else:
            for positions in batches_of(some.canvases, _ROWS_AT_ONCE):
                keep(positions, some.maps.read(positions))
        means = [total / n for n, total, _ in sums]
        variances = [square / n - (total / n) ** 2 for n, total, square in sums]
        head.standardise(
            [torch.from_numpy(mean) for mean in means],
            [torch.from_numpy(np.sqrt(variance.clip(0))) for variance in variances],
        )
        network.head = head
        network.move_to(where.device)

    def network_to_train(self, device):
        """A new DetectionNetwork on `device`; it has a body only if the fit trains the body."""
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
                # a loaded network does not know the sizes of its maps yet
                network.measure(self.content.name)
        return network.requires_grad_(True)

    @property
    def runs_a_graph(self):
        """Whether an ONNX graph computes the maps."""
        return isinstance(self.content, OnnxBackbone) and not self.has_own_body

    def maps_network(self, where):
        """Return the DetectionNetwork that computes the maps if no graph does. Do not train it."""
        if self.has_own_body:
            network = self.on(where.device, where.precision)
        else:
            network = self._shared(where.device, where.precision)
        with torch_settings(where.n_threads):
            network.measure(self.content.name)
        return network

    def head_network(self, where):
        """Return the DetectionNetwork that has the head. Do not train it."""
        with torch_settings(), self._lock:
            return self._live_on(where.device)

    def for_pickle(self, embed_model):
        if not isinstance(self.content, ModuleBackbone) or self.has_own_body:
            return super().for_pickle(embed_model)
        # the callable may make a different network where the pickle is loaded
        live = copy.deepcopy(self._live_on("cpu"))
        live.body = self._pretrained().body
        return super(FittedDetectionNetwork, self.with_live(live)).for_pickle(embed_model)

    @property
    def has_own_body(self):
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
        """Return the MapSource of this network. `where` must be resolved."""
        budget = thread_budget(where.n_threads)
        if self.runs_a_graph:
            content = self.whole_content().content
            names, sizes = graph_maps(content)

            def session(n_threads):
                return shared_session(content, names, n_threads, onnx_providers(where.device))

            return MapSource(session, budget, sizes, self.content.pixels)
        network = self.maps_network(where)
        sizes = network.measure(self.content.name)
        graph = NetworkAsGraph(network, where.device, len(sizes.used))
        return MapSource(lambda n_threads: graph, min(2, budget), sizes, self.content.pixels)

    def _stored(self, rows, where):
        """Compute the maps of rows, and write them to the file: a Read with StoredMaps.

        Maps that `where.memory` has are not computed again.
        """
        source, store = self._source(where), None
        if where.memory is not None and self.content.is_identified and not self.has_own_body:
            depends_on = (self.content.sha256, source.pixels, source.sizes, self._runs_on(where))
            store = FeatureStore(where.memory, depends_on, dtype="<f2")
        return stored_maps(source, self._file, rows, where, store)

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
        if self.has_own_body:
            body = self._untrained(tensors).body
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
