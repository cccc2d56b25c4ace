"""The checkpoint of a fit: one file. It is never half written, and identifies its fit."""

import json
import os
import uuid
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file


class Checkpoint:
    """A file that contains the state of a fit, so that the fit can be resumed.

    Parameters
    ----------
    folder : str or Path
        `load` creates it if it does not exist.
    identity : dict of str to object
        What distinguishes this fit from other fits: hashes of its data and model, and its
        parameters. Only a fit with an equal identity can be resumed from the file. Values are
        compared as strings.
    """

    def __init__(self, folder, identity):
        self.folder = Path(folder)
        self.identity = {name: str(value) for name, value in identity.items()}
        digest = sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]
        self.path = self.folder / f"checkpoint-{digest}.safetensors"

    def load(self):
        """Return the state that was saved last.

        Returns
        -------
        state : tuple of facts and tensors, or None
            What was passed to `save`. None: there is no checkpoint.

        Raises
        ------
        ValueError
            If the folder contains a checkpoint of another fit, or a damaged checkpoint.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        # a process that was killed while it wrote may have left these files
        for leftover in self.folder.glob(f".{self.path.name}.*"):
            leftover.unlink(missing_ok=True)
        for path in sorted(self.folder.glob("checkpoint-*.safetensors")):
            if path != self.path:
                raise ValueError(
                    f"checkpoint_dir contains {path}, which belongs to another fit "
                    f"({self._difference(path)}). Remove the file, or set a different folder."
                )
        if not self.path.exists():
            return None
        identity, facts, tensors = self._read(self.path)
        if identity != self.identity:
            raise ValueError(self._damaged(self.path))
        return facts, tensors

    def save(self, facts, tensors):
        """Write the state to a new file, which then replaces the previous checkpoint.

        Parameters
        ----------
        facts : dict
            Its values can be written as JSON.
        tensors : dict of str to Tensor
        """
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        about = json.dumps([self.identity, facts])
        metadata = {"about": about, "sha256": _digest(about, tensors)}
        aside = self.folder / f".{self.path.name}.{uuid.uuid4().hex}"
        try:
            save_file(tensors, aside, metadata=metadata)
            with aside.open("rb+") as file:
                os.fsync(file.fileno())
            aside.replace(self.path)
        finally:
            aside.unlink(missing_ok=True)

    def remove(self):
        self.path.unlink(missing_ok=True)

    def _read(self, path):
        """Return the identity, facts and tensors of a file; raise a ValueError if it is damaged."""
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata["sha256"] != _digest(metadata["about"], tensors):
                raise ValueError("the bytes are not those that were written")
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ValueError(self._damaged(path)) from error
        return *json.loads(metadata["about"]), tensors

    def _damaged(self, path):
        return f"checkpoint_dir contains {path}, which is damaged: remove it to start the fit anew."

    def _difference(self, path):
        """The names of the values in which the identity in a file differs from this fit's."""
        theirs = self._read(path)[0]
        names = sorted(theirs.keys() | self.identity.keys())
        return "different " + ", ".join(n for n in names if theirs.get(n) != self.identity.get(n))


def _digest(about, tensors):
    digest = sha256(about.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
