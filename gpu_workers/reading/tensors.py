"""Arrays as clients send them, checked and made numpy's: dense, or sparse in compressed rows.

Both encodings of the wire end here: bytes of protobuf messages, and lists of numbers in JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gpu_workers.engine.types import UserError
from operations.bodies import TensorData

MAX_SPREAD = 2**24
"""Cells that the sparse tensors of one request may have together, listed or not: a few bytes could
otherwise ask for any amount of memory."""


_DTYPES: dict[str, np.dtype] = {"float32": np.dtype("<f4"), "int64": np.dtype("<i8")}


class Spread:
    """Counts the cells that a request's sparse tensors take once they are dense."""

    def __init__(self) -> None:
        self.cells = 0

    def take(self, cells: int, where: str) -> None:
        """Count a tensor; UserError when the request has too many."""
        self.cells += cells
        if self.cells > MAX_SPREAD:
            raise UserError(
                f"{where}: the sparse tensors of one request may have {MAX_SPREAD} cells together, "
                "unlisted ones included; send fewer datums at once, or fewer columns"
            )


def from_bytes(data: bytes, dtype: np.dtype, where: str) -> npt.NDArray:
    """Little-endian `data` as a flat array; a view of it where possible."""
    if len(data) % dtype.itemsize:
        raise UserError(f"{where}: {len(data)} bytes are no whole number of {dtype} values")
    array = np.frombuffer(data, dtype)
    return array if sys.byteorder == "little" else array.astype(dtype.newbyteorder("="))


def from_numbers(numbers: Sequence[float], dtype: np.dtype, where: str) -> npt.NDArray:
    """A flat array of JSON numbers; UserError unless each is one of `dtype`."""
    try:
        array = np.array(numbers, np.float64 if dtype.kind == "f" else None)
    except OverflowError:
        raise UserError(f"{where}: a number is too large for {dtype}") from None
    if not len(array):
        return array.astype(dtype)
    if dtype.kind == "i" and array.dtype != np.int64:
        raise UserError(f"{where}: {dtype} takes whole numbers of 64 bits only")
    with np.errstate(over="ignore"):  # what overflows float32 is found by whoever needs it finite
        return array.astype(dtype)


def shaped(flat: npt.NDArray, shape: Sequence[int], where: str) -> npt.NDArray:
    """`flat` in its shape; no shape means one dimension."""
    dimensions = tuple(shape) or (flat.size,)
    if min(dimensions) < 0 or int(np.prod(dimensions, dtype=object)) != flat.size:
        raise UserError(f"{where}: the shape {list(dimensions)} does not fit {flat.size} values")
    return flat.reshape(dimensions)


@dataclass(frozen=True, slots=True)
class Csr:
    """A sparse [N, K] tensor, checked: row i's cells are those from row_starts[i] on."""

    values: npt.NDArray
    row_starts: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    shape: tuple[int, int]
    row_of: npt.NDArray[np.int64]

    @classmethod
    def of(
        cls,
        values: npt.NDArray,
        row_starts: npt.NDArray[np.int64],
        columns: npt.NDArray[np.int64],
        shape: Sequence[int],
        where: str,
    ) -> Csr:
        """UserError unless these are the parts of one tensor, columns rising within a row."""
        if len(shape) != 2 or min(shape) < 0 or max(shape) > MAX_SPREAD:
            raise UserError(f"{where}: a sparse tensor has a shape [N, K], not {list(shape)}")
        rows, width = int(shape[0]), int(shape[1])
        count = len(values)
        if len(row_starts) != rows + 1 or row_starts[0] != 0 or row_starts[-1] != count:
            raise UserError(
                f"{where}: crow_indices must be {rows + 1} numbers from 0 to the {count} values"
            )
        outside = ((row_starts < 0) | (row_starts > count)).any()
        if outside or (np.diff(row_starts) < 0).any():
            raise UserError(f"{where}: crow_indices must not fall")
        if len(columns) != count:
            raise UserError(f"{where}: {len(columns)} col_indices for {count} values")
        strays = np.flatnonzero((columns < 0) | (columns >= width))
        if strays.size:
            raise UserError(
                f"{where}: the column {int(columns[strays[0]])} is outside of 0 to {width - 1}"
            )
        row_of = np.repeat(np.arange(rows), np.diff(row_starts))
        if (np.diff(row_of * width + columns) <= 0).any():
            raise UserError(f"{where}: col_indices must rise within each row")
        return cls(values, row_starts, columns, (rows, width), row_of)

    def dense(self, where: str, spread: Spread) -> npt.NDArray:
        """The whole tensor: cells that are not listed are 0."""
        rows, width = self.shape
        spread.take(rows * width, where)
        table = np.zeros(self.shape, self.values.dtype)
        table[self.row_of, self.columns] = self.values
        return table


def from_json(tensor: TensorData, where: str, spread: Spread) -> npt.NDArray:
    """A tensor in its JSON form as an array, dense whatever it was."""
    sparse = csr_of(tensor, where)
    if sparse is not None:
        return sparse.dense(where, spread)
    flat = from_numbers(tensor.data, _DTYPES[tensor.dtype], where)
    return shaped(flat, tensor.shape or (), where)


def csr_of(tensor: TensorData, where: str) -> Csr | None:
    """The parts of a sparse tensor in its JSON form; None when it is dense."""
    row_starts, columns = tensor.sparse_crow_indices, tensor.sparse_col_indices
    if row_starts is None and columns is None:
        return None
    return Csr.of(
        from_numbers(tensor.data, _DTYPES[tensor.dtype], where),
        from_numbers(row_starts or (), _DTYPES["int64"], f"{where}: sparse_crow_indices"),
        from_numbers(columns or (), _DTYPES["int64"], f"{where}: sparse_col_indices"),
        tensor.shape or (),
        where,
    )
