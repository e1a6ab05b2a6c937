# SPDX-License-Identifier: MIT
"""Takes numbers out of an HDF5 file, in a process of its own.

The HDF5 library ends its process on some damaged files and never returns from others (seen with h5py 3.16: about one in a
thousand files with a few changed bytes). So files that this program did not write are opened here, where no scan runs, with
limited memory. ``hdf5_guard`` starts it and judges what comes out: plain ``.npy`` files and a few lines of JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MAX_LINES: Final = 2**22
MAX_XML_BYTES: Final = 2**24
_BROKEN: Final = (MemoryError, OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
_MAX_NAMES: Final = 2000
_MAX_CELLS: Final = 4096


def main(arguments: list[str]) -> int:
    """``PATH VARIABLE FOLDER BYTES``: write what the file holds to FOLDER, using at most BYTES of memory."""
    path, variable, folder, most_bytes = arguments[0], arguments[1], Path(arguments[2]), int(arguments[3])
    _limit_memory(most_bytes)
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            found = _extract(h5py, file, variable, folder)
    except _BROKEN as error:
        found = {"kind": "damaged", "reason": f"{type(error).__name__}: {str(error)[:160]}"}
    (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")
    return 0


def _limit_memory(most_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _extract(h5py: Any, file: Any, variable: str, folder: Path) -> dict[str, Any]:
    if (group := mrd_group(file, variable)) is not None:
        return _extract_mrd(group, folder)
    arrays = _list_arrays(h5py, file)
    shapes = {name: list(_shape(nodes)) for name, nodes in arrays.items()}
    name = _choose(arrays, variable)
    if name is None:
        return {"kind": "names", "shapes": shapes}
    nodes = arrays[name]
    parts = [_complex(node[()]) for node in nodes]
    array = parts[0] if len(parts) == 1 else np.stack(parts)
    if _is_matlab(nodes[0]):  # the first axis is stored last
        array = array.T
    np.save(folder / "array.npy", np.asfortranarray(array) if array.flags.f_contiguous else array)
    return {"kind": "array", "name": name}


# --- ISMRMRD ------------------------------------------------------------------------------------------------------------


def mrd_group(file: Any, variable: str) -> Any:
    """The group named, else ``dataset``, else the only one that looks like it."""
    if variable:
        return file[variable] if variable in file and _is_mrd(file[variable]) else None
    if "dataset" in file and _is_mrd(file["dataset"]):
        return file["dataset"]
    groups = [node for node in (file.get(name) for name in list(file)[:_MAX_NAMES]) if _is_mrd(node)]
    return groups[0] if len(groups) == 1 else None


def _is_mrd(node: Any) -> bool:
    if not hasattr(node, "keys") or "data" not in node or not hasattr(node["data"], "dtype"):
        return False
    return {"head", "data"} <= set(node["data"].dtype.names or ())


def _extract_mrd(group: Any, folder: Path) -> dict[str, Any]:
    for name, array in mrd_arrays(group).items():
        np.save(folder / f"{name}.npy", array)
    (folder / "header.xml").write_bytes(mrd_xml(group))
    return {"kind": "mrd", "name": group.name.strip("/")}


def mrd_arrays(group: Any) -> dict[str, NDArray[Any]]:
    """Heads, and the numbers of all lines one behind the other with the length of each.

    Raises
    ------
    ValueError
        More lines than can be.
    """
    table = group["data"]
    if table.ndim != 1 or not 0 <= table.shape[0] <= MAX_LINES:
        raise ValueError(f"it claims {table.shape} lines; at most {MAX_LINES} can be read")
    rows = table[()]
    arrays = {"heads": np.ascontiguousarray(rows["head"])}
    for name in ("data", "traj"):
        lines = rows[name].tolist() if name in (rows.dtype.names or ()) else []
        arrays[f"{name}_lengths"] = np.array(list(map(len, lines)), dtype=np.int64)
        arrays[name] = np.asarray(np.concatenate(lines) if lines else np.zeros(0), dtype=np.float32)
    waves = group.get("waveforms")
    if hasattr(waves, "dtype") and {"head", "data"} <= set(waves.dtype.names or ()) and waves.shape[0] <= MAX_LINES:
        rows = waves[()]
        lines = rows["data"].tolist()
        arrays["wave_heads"] = np.ascontiguousarray(rows["head"])
        arrays["wave_lengths"] = np.array(list(map(len, lines)), dtype=np.int64)
        arrays["wave"] = np.concatenate([*lines, np.zeros(0, np.uint32)]).astype(np.uint32)
    return arrays


def mrd_xml(group: Any) -> bytes:
    """The XML header, empty when there is none."""
    if "xml" not in group:
        return b""
    value = group["xml"][()]
    text = value.ravel()[0] if isinstance(value, np.ndarray) and value.size else value
    content = text.encode() if isinstance(text, str) else bytes(text) if isinstance(text, bytes) else b""
    return content[:MAX_XML_BYTES]


# --- arrays, MATLAB 7.3 among them --------------------------------------------------------------------------------------


def _list_arrays(h5py: Any, file: Any) -> dict[str, list[Any]]:
    """Datasets of numbers by name; a cell array of equal ones is one array, and each cell is one as well."""
    arrays: dict[str, list[Any]] = {}

    def collect(name: str, node: Any) -> None:
        if len(arrays) >= _MAX_NAMES or name.startswith("#") or not isinstance(node, h5py.Dataset):
            return
        if _is_numeric(node):
            arrays[name] = [node]
        elif h5py.check_ref_dtype(node.dtype) is h5py.Reference and 0 < node.size <= _MAX_CELLS:
            cells = [file[reference] for reference in node[()].ravel(order="C") if reference]
            cells = [cell for cell in cells if isinstance(cell, h5py.Dataset) and _is_numeric(cell)]
            for number, cell in enumerate(cells, start=1):
                arrays[f"{name}{{{number}}}"] = [cell]
            if len(cells) > 1 and len({(cell.shape, cell.dtype) for cell in cells}) == 1:
                arrays[name] = cells

    file.visititems(collect)
    return arrays


def _is_numeric(node: Any) -> bool:
    names = node.dtype.names
    kind_ok = set(names) == {"real", "imag"} if names is not None else node.dtype.kind in "fciu"
    if not (kind_ok and node.ndim and node.size and "MATLAB_empty" not in node.attrs):
        return False
    matlab_class = node.attrs.get("MATLAB_class", b"")
    return bytes(matlab_class) != b"char" and "MATLAB_sparse" not in node.parent.attrs


def _is_matlab(node: Any) -> bool:
    return "MATLAB_class" in node.attrs


def _shape(nodes: list[Any]) -> tuple[int, ...]:
    shape = tuple(int(n) for n in nodes[0].shape)
    shape = shape if len(nodes) == 1 else (len(nodes), *shape)
    return shape[::-1] if _is_matlab(nodes[0]) else shape


def _choose(arrays: dict[str, list[Any]], variable: str) -> str | None:
    """The one asked for; unasked the only one, or the only one of complex numbers that is more than a single value."""
    if variable:
        return variable if variable in arrays else None
    if len(arrays) == 1:
        return next(iter(arrays))
    found = [name for name, nodes in arrays.items() if _is_complex(nodes[0]) and nodes[0].size > 1 and "{" not in name]
    return found[0] if len(found) == 1 else None


def _is_complex(node: Any) -> bool:
    return node.dtype.names is not None or node.dtype.kind == "c"


def _complex(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.names:
        result = np.empty(array.shape, dtype=np.complex64 if array.dtype["real"].itemsize <= 4 else np.complex128)
        result.real, result.imag = array["real"], array["imag"]
        return result
    return array


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
