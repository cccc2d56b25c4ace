"""One file that is whole or absent, and knows which fit it belongs to."""

import json
import os
import uuid
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file


class Checkpoint:
    """The state of a fit in the folder `folder`.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist.
    belongs : dict of str
        What makes the fit what it is: hashes of its data and model, its parameters.
    """

    def __init__(self, folder, belongs):
        self.folder = Path(folder)
        self.belongs = {name: str(value) for name, value in belongs.items()}
        identity = sha256(json.dumps(self.belongs, sort_keys=True).encode()).hexdigest()[:16]
        self.path = self.folder / f"checkpoint-{identity}.safetensors"

    def load(self):
        """What `save` was last given, or None.

        Raises
        ------
        ValueError
            If the folder holds a checkpoint of another fit, or a damaged one.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        # of a process that was killed while it wrote
        for leftover in self.folder.glob(f".{self.path.name}.*"):
            leftover.unlink(missing_ok=True)
        for path in sorted(self.folder.glob("checkpoint-*.safetensors")):
            if path != self.path:
                raise ValueError(
                    f"checkpoint_dir holds {path}, which belongs to another fit "
                    f"({self._difference(path)}). Remove it, or give another folder."
                )
        if not self.path.exists():
            return None
        belongs, facts, tensors = self._read(self.path)
        if belongs != self.belongs:
            raise ValueError(self._damaged(self.path))
        return facts, tensors

    def save(self, facts, tensors):
        """Write the state aside, then put it in the place of the one before.

        Parameters
        ----------
        facts : dict that JSON can hold
        tensors : dict of Tensor
        """
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        about = json.dumps([self.belongs, facts])
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
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata["sha256"] != _digest(metadata["about"], tensors):
                raise ValueError("other bytes than were written")
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ValueError(self._damaged(path)) from error
        return *json.loads(metadata["about"]), tensors

    def _damaged(self, path):
        return f"checkpoint_dir holds {path}, which is damaged: remove it to start the fit anew."

    def _difference(self, path):
        theirs = self._read(path)[0]
        names = sorted(theirs.keys() | self.belongs.keys())
        return "other " + ", ".join(n for n in names if theirs.get(n) != self.belongs.get(n))


def _digest(about, tensors):
    digest = sha256(about.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
