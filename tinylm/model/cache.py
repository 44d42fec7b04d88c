"""What the layers keep of the tokens that were read, so that the next ones are read alone."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from tinylm.batch import Batch


class Cache:
    """Rows that are read piece by piece: keys, values and whatever else layers look back at.

    Handed to ``LanguageModel.forward``, which reads a batch as what follows in each row: the hidden states are those
    of one forward over the whole row, to rounding. Rows of unequal length are padded on the left, the padding being a
    document of its own (``Batch.document_BT``); new tokens belong to the document that the row ended in.

    For decoding under ``torch.no_grad``: buffers are written in place, and keep no gradient.

    Args:
        room: tokens that a row will come to at most, for which memory is taken at once; 0: it grows as needed.

    Attributes:
        length: tokens of every row that were read, padding included.
        document_BT: document of each of them; None: a row is one document.
    """

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.length = 0
        self.document_BT: Tensor | None = None
        self._held: dict[Hashable, _Held] = {}

    def recall(self, layer: Hashable, new: tuple[Tensor, ...], keep: int | None = None) -> tuple[Tensor, ...]:
        """Tensors of the tokens read before and of the new ones, (..., S, K) each; the new ones are held from now on.

        Args:
            layer: whose they are; it asks once a forward.
            new: (..., T, K) each.
            keep: tokens before a new one that it looks back at; None: all.
        """
        held = self._held.setdefault(layer, _Held(self.room, keep))
        return held.extend(new)

    def documents(self, batch: Batch) -> Tensor | None:
        """Document of each token of the rows, (B, S), those of ``batch`` at the end; None: a row is one document."""
        if self.length == 0:
            return batch.document_BT
        new_BT, old_BT = batch.document_BT, self.document_BT
        if new_BT is None and old_BT is None:
            return None
        B, T = batch.ids_BT.shape
        if old_BT is None:
            old_BT = torch.zeros(B, self.length, dtype=torch.int64, device=batch.ids_BT.device)
        if new_BT is None:
            new_BT = old_BT[:, -1:].expand(B, T)
        return torch.cat((old_BT, new_BT), dim=1)

    def advance(self, batch: Batch) -> None:
        """Note that every layer has read ``batch``."""
        self.document_BT = self.documents(batch)
        self.length += batch.ids_BT.shape[1]

    def rows(self, index_N: Tensor) -> Cache:
        """A cache of its own with the rows that ``index_N`` names: fewer where some have ended, one of them many times
        where it is to go on in many ways."""
        taken = Cache(self.room)
        taken.length = self.length
        taken.document_BT = None if self.document_BT is None else self.document_BT[index_N.to(self.document_BT.device)]
        taken._held = {layer: held.rows(index_N) for layer, held in self._held.items()}
        return taken

    @property
    def bytes(self) -> int:
        """Bytes of the buffers."""
        return sum(buffer.nbytes for held in self._held.values() for buffer in held.buffers)


class _Held:
    """The last tokens of a layer's tensors. A buffer that is full is followed by another, into which what is still
    looked back at is copied: seldom, as there is room for as much again."""

    def __init__(self, room: int, keep: int | None) -> None:
        self.room, self.keep = room, keep
        self.buffers: tuple[Tensor, ...] = ()
        self.begin = self.end = 0  # of what is still looked back at

    def extend(self, new: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        T = new[0].shape[-2]
        if self.begin == self.end:  # nothing before: what is looked at is what was given, and less may have to be held
            last = T if self.keep is None else min(T, self.keep)
            self._hold(tuple(tensor[..., T - last :, :] for tensor in new))
            return new
        self._hold(new)
        seen = tuple(buffer[..., self.begin : self.end, :] for buffer in self.buffers)
        if self.keep is not None:
            self.begin = max(self.begin, self.end - self.keep)
        return seen

    def rows(self, index_N: Tensor) -> _Held:
        taken = _Held(self.room, self.keep)
        taken.buffers = tuple(buffer[index_N.to(buffer.device)] for buffer in self.buffers)
        taken.begin, taken.end = self.begin, self.end
        return taken

    def _hold(self, new: tuple[Tensor, ...]) -> None:
        T = new[0].shape[-2]
        if not self.buffers or self.end + T > self.buffers[0].shape[-2]:
            before = self.end - self.begin
            size = self._size(before + T)
            moved = []
            for place, tensor in enumerate(new):
                buffer = tensor.new_empty((*tensor.shape[:-2], size, tensor.shape[-1]))
                if before:
                    buffer[..., :before, :] = self.buffers[place][..., self.begin : self.end, :]
                moved.append(buffer)
            self.buffers, self.begin, self.end = tuple(moved), 0, before
        for buffer, tensor in zip(self.buffers, new, strict=True):
            buffer[..., self.end : self.end + T, :] = tensor
        self.end += T

    def _size(self, needed: int) -> int:
        ample = 2 * needed if self.keep is None else needed + self.keep
        if needed > self.room:
            return ample
        return self.room if self.keep is None else min(ample, self.room)
