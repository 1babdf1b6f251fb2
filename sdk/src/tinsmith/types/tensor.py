"""``TensorData``: a small array on its way to or from the server."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from tinsmith._words.mistakes import explained, title_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

TensorDtype = Literal["int64", "float32"]

_NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "int64": np.dtype(np.int64),
    "float32": np.dtype(np.float32),
}
_FORMATS = {"int32": "i", "int64": "q", "float32": "f"}


@explained
@dataclass(frozen=True, eq=False, init=False, repr=False)
class TensorData:
    """An int64 or float32 array, dense or as compressed sparse rows.

    Args:
        data: the numbers, in any nesting, as a numpy array or a torch tensor. Sparse: the listed
            values only.
        dtype: ``"int64"`` or ``"float32"``; the data is cast. May be left out for arrays.
        shape: reshapes the data; left out, the data's own shape. Sparse: the dense shape.
        sparse_crow_indices: row pointers [rows + 1] of a sparse tensor.
        sparse_col_indices: column of every listed value.

    Raises:
        ValueError: unknown dtype, numbers that do not fit the shape, half a sparse tensor.

    >>> TensorData(data=[1, 2, 3], dtype="int64").shape
    [3]
    """

    dtype: TensorDtype
    shape: list[int] | None
    sparse_crow_indices: list[int] | None
    sparse_col_indices: list[int] | None
    _numpy: np.ndarray[Any, Any]

    def __init__(
        self,
        data: Sequence[Any] | np.ndarray[Any, Any] | None = None,
        dtype: TensorDtype | None = None,
        shape: Sequence[int] | None = None,
        sparse_crow_indices: Sequence[int] | None = None,
        sparse_col_indices: Sequence[int] | None = None,
    ) -> None:
        if type(data) is not list and type(data) is not np.ndarray and is_torch(data):
            data = _from_torch(data)
        if dtype is None:
            if not isinstance(data, np.ndarray):
                raise TypeError("TensorData needs a dtype: 'int64' or 'float32'")
            dtype = dtype_of(data.dtype)
        if dtype not in _NUMPY_DTYPES:
            raise ValueError(f"dtype must be 'int64' or 'float32', not {dtype!r}")
        array = pack(data, dtype)
        if array is None:
            array = _as_array([] if data is None else data, _NUMPY_DTYPES[dtype])
        sparse = sparse_crow_indices is not None
        if sparse != (sparse_col_indices is not None) or (sparse and shape is None):
            raise ValueError(
                "a sparse tensor needs sparse_crow_indices, sparse_col_indices and shape"
            )
        if not sparse and shape is not None:
            array = array.reshape(tuple(shape))
        put = object.__setattr__
        put(self, "dtype", dtype)
        put(self, "shape", list(array.shape if shape is None else shape))
        put(self, "sparse_crow_indices", None if not sparse else list(sparse_crow_indices or ()))
        put(self, "sparse_col_indices", None if not sparse else list(sparse_col_indices or ()))
        put(self, "_numpy", array)

    def __repr__(self) -> str:
        kind = ", sparse" if self.sparse_crow_indices is not None else ""
        return f"TensorData(dtype={self.dtype!r}, shape={self.shape}{kind})"

    @property
    def data(self) -> list[int] | list[float]:
        """The stored numbers, flat."""
        return cast("list[int] | list[float]", self._numpy.ravel().tolist())

    @classmethod
    def from_numpy(cls, array: np.ndarray[Any, Any]) -> TensorData:
        """From an array of any integer type (as int64) or floating type (as float32)."""
        return cls(array, dtype_of(array.dtype), array.shape)

    @classmethod
    def from_torch(cls, tensor: torch.Tensor) -> TensorData:
        """From a tensor on any device, with or without gradient; bfloat16 becomes float32."""
        return cls.from_numpy(_from_torch(tensor))

    @classmethod
    def from_torch_sparse(cls, tensor: torch.Tensor, pad_value: int = 0) -> TensorData:
        """Like `from_torch`, but rows are compressed when that is smaller.

        Args:
            tensor: [rows, columns]; other ranks stay dense.
            pad_value: entries of this value are not listed.
        """
        dense = cls.from_torch(tensor)
        array = dense._numpy
        if array.ndim != 2:
            return dense
        rows, columns = np.nonzero(array != pad_value)
        if len(array) + 1 + 2 * len(rows) >= array.size:
            return dense
        crow = np.zeros(len(array) + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=len(array)), out=crow[1:])
        return cls(array[rows, columns], dense.dtype, array.shape, crow.tolist(), columns.tolist())

    def to_numpy(self, pad_value: int = 0) -> np.ndarray[Any, Any]:
        """The array in its full shape; unlisted entries of a sparse one are ``pad_value``."""
        if self.sparse_crow_indices is None:
            return self._numpy
        full = np.full(tuple(self.shape or ()), pad_value, dtype=self._numpy.dtype)
        rows = np.repeat(np.arange(len(full)), np.diff(self.sparse_crow_indices))
        full[rows, self.sparse_col_indices] = self._numpy
        return full

    def to_torch(self, pad_value: int = 0) -> torch.Tensor:
        """The array as a torch tensor of its own memory; needs torch."""
        import torch

        return torch.from_numpy(np.array(self.to_numpy(pad_value)))

    def tolist(self, pad_value: int = 0) -> list[Any]:
        """The array as nested lists."""
        return cast("list[Any]", self.to_numpy(pad_value).tolist())


def pack(data: Any, dtype: str) -> np.ndarray[Any, Any] | None:
    """A flat list of numbers as an array, in a third of numpy's time; None for anything else."""
    if type(data) is not list or not data:
        return None
    try:
        packed = struct.pack(f"={len(data)}{_FORMATS[dtype]}", *data)
    except (struct.error, OverflowError, TypeError, ValueError):
        return None  # nested, or numbers that numpy has a way with
    return np.frombuffer(bytearray(packed), dtype=dtype)


def _from_torch(tensor: Any) -> np.ndarray[Any, Any]:
    """A tensor of any device and type; numpy knows no bfloat16, which becomes float32."""
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()
    array: np.ndarray[Any, Any] = tensor.contiguous().numpy()
    return array


def _as_array(data: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """An array of numbers; raises ValueError that says what is there instead."""
    try:
        return np.asarray(data, dtype=dtype)
    except (ValueError, TypeError) as error:
        if isinstance(data, np.ndarray):  # of texts or objects
            raise ValueError(f"an array of {data.dtype} holds no numbers") from None
        if any(map(is_torch, data)):
            return np.asarray([_from_torch(item) for item in data], dtype=dtype)
        odd = _no_number(data)
        if odd is None:
            raise ValueError(f"the rows are not of one length: {error}") from None
        raise ValueError(f"it holds {title_of(odd[0])} ({odd[0]!r}) among its numbers") from None


def _no_number(data: Any) -> list[Any] | None:
    """The first entry that is neither a number nor a row of numbers, in a list of its own."""
    if isinstance(data, list | tuple):
        return next((found for item in data if (found := _no_number(item))), None)
    return None if hasattr(data, "__float__") or hasattr(data, "__array__") else [data]


def dtype_of(dtype: np.dtype[Any]) -> TensorDtype:
    """The wire's name for a numpy dtype; raises ValueError for what is neither int nor float."""
    if dtype.kind in "iub":
        return "int64"
    if dtype.kind == "f" or dtype.name == "bfloat16":
        return "float32"
    raise ValueError(f"an array of {dtype} is neither integers nor floating point numbers")


def is_torch(value: object) -> bool:
    """Whether this is a torch tensor, without importing torch."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")
