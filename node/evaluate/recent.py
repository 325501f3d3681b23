"""What was found at recent blocks: a cache that forgets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

from consensus.types import BlockHash

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Rows by block, in a bounded number; the row that was used least recently makes room."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows: OrderedDict[BlockHash, dict[str, Value]] = OrderedDict()

    def row(self, key: BlockHash) -> dict[str, Value]:
        """The row under this key, empty where it is new."""
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = {}
            while len(self._rows) > self._size:
                self._rows.popitem(last=False)
        else:
            self._rows.move_to_end(key)
        return row

    def rows(self) -> Iterable[dict[str, Value]]:
        return self._rows.values()
