"""A CUDA or MPS device that is not there: what would run on it has shapes, types and a device, and no values.

What is on the processor is computed there, as ever. What is put on the device is torch's FakeTensor, which raises where
tensors of two devices meet. Besides it is noted where the processor would wait for the device, and which operations
have no algorithm there that gives the same bits each time. No backward pass: torch's engine asks for a real device.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cuda", 0)
MPS = torch.device("mps", 0)

WAITING = {"_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "bincount", "histc", "unique_dim"}
WAITING |= {"_unique2", "unique_consecutive", "repeat_interleave"}
"""Operations of which the processor needs the result, or its size, to go on."""

UNREPEATABLE = {"_adaptive_avg_pool2d_backward", "adaptive_max_pool2d_backward", "fractional_max_pool2d_backward"}
UNREPEATABLE |= {"upsample_bilinear2d_backward", "upsample_bicubic2d_backward", "reflection_pad2d_backward"}
UNREPEATABLE |= {"replication_pad2d_backward", "grid_sampler_2d_backward", "max_unpool2d", "nll_loss2d_forward"}
UNREPEATABLE |= {"_ctc_loss_backward", "put_", "histc", "kthvalue", "median"}
"""Those of torch's list at `use_deterministic_algorithms` that raise on a GPU and that images could meet."""


class FakeGpu(TorchDispatchMode):
    """`waits`: names of operations for which the processor would have waited; `unrepeatable`: of those that raise
    where only repeatable ones are allowed.

    Args:
        kept: how many are not zero, wherever that is asked.
        said: what the processor is told where it asks for one number.
        device: `DEVICE`, or `MPS`, on which float64 raises TypeError, as torch does.
    """

    def __init__(self, kept: int, said: float, device: torch.device = DEVICE) -> None:
        super().__init__()
        self.fake, self.kept, self.said, self.device = _Mode(), kept, said, device
        self.waits: list[str] = []
        self.unrepeatable: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not any(_is_there(each) for each in tree_leaves((args, kwargs))):
            with _disable_current_modes():
                return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        self.waits += [name] * _waits(name, args, kwargs)
        self.unrepeatable += [name] * is_unrepeatable(name, args)
        if name == "_local_scalar_dense":
            return bool(self.said) if args[0].dtype == torch.bool else self.said
        if name == "_to_copy" and torch.device(kwargs.get("device") or self.device).type == "cpu":
            with _disable_current_modes():
                return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if name == "_fused_sgd_":  # torch does not know its shapes
            assert {each.device for each in tree_leaves(args) if isinstance(each, Tensor)} == {self.device}
            return None
        if name == "nonzero":
            return self._some(args[0].ndim)
        if name == "index":
            args = (args[0], [self._some(1).squeeze(1) if _is_mask(each) else each for each in args[1]])
        args, kwargs = tree_map(self._as_fake, (args, kwargs))
        with self.fake:
            result = func(*args, **kwargs)
        if self.device == MPS:
            wide = [each for each in tree_leaves(result) if isinstance(each, Tensor) and each.device.type == "mps"]
            if any(each.dtype in (torch.float64, torch.complex128) for each in wide):
                raise TypeError(f"{name}: Cannot convert a MPS Tensor to float64 dtype")
        return result

    def _some(self, dimensions: int) -> Tensor:
        with self.fake:
            return torch.zeros(self.kept, dimensions, dtype=torch.int64, device=self.device)

    def _as_fake(self, value: Any) -> Any:
        real = isinstance(value, Tensor) and not isinstance(value, FakeTensor)
        return self.fake.from_tensor(value) if real else value


class _Mode(FakeTensorMode):
    """The copy of a tensor is of the same mode."""

    def __deepcopy__(self, memo: Any) -> "_Mode":
        return self


def _is_there(value: Any) -> bool:
    return isinstance(value, FakeTensor) or (isinstance(value, torch.device) and value.type in ("cuda", "mps"))


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)


def _waits(name: str, args: Any, kwargs: Any) -> bool:
    tensors = [each for each in tree_leaves(args) if isinstance(each, Tensor)]
    if name in ("_to_copy", "device_put", "copy_"):
        source = tensors[-1]
        target = tensors[0].device if name == "copy_" else (kwargs.get("device") or source.device)
        pinned = getattr(source, "is_in_pinned_memory", False) and kwargs.get("non_blocking", False)
        return source.device.type != target.type and not pinned
    if name in ("index", "index_put", "index_put_", "where"):
        by_mask = name != "where" and any(map(_is_mask, tree_leaves(args[1])))
        return by_mask or any(each.device.type == "cpu" for each in tensors)
    if name in ("scatter_add", "scatter_add_"):
        return args[0].ndim > 1  # versions of torch send a table of strides, where sums are to be repeatable
    return name in WAITING


def is_unrepeatable(name: str, args: Any) -> bool:
    return name in UNREPEATABLE or (name in ("cumsum", "cumsum_") and args[0].is_floating_point())


def _pinned(values: Tensor) -> Tensor:
    copy = values.clone()
    copy.is_in_pinned_memory = True  # type: ignore[attr-defined]
    return copy


@contextmanager
def fake_gpu(
    monkeypatch: pytest.MonkeyPatch, kept: int = 2, said: float = -1, device: torch.device = DEVICE
) -> Iterator[FakeGpu]:
    """In here `device` can be used."""
    gpu = FakeGpu(kept, said, device)
    monkeypatch.setattr(Tensor, "pin_memory", _pinned)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: device)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: None)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    with _a_guard(13 if device == MPS else 1), gpu.fake, gpu:
        yield gpu


@contextmanager
def _a_guard(number: int) -> Iterator[None]:
    """torch asks a device's guard which device is the current one. A build for processors has none for CUDA, and that
    of the device `meta`, which does nothing, will do."""
    if torch.cuda._is_compiled() if number == 1 else torch.backends.mps.is_built():
        yield
        return
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    meta = 14  # as `number`, of c10::DeviceType: 1 is CUDA, 13 is MPS
    try:
        guards = (ctypes.c_void_p * (meta + 1)).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    except ValueError:
        pytest.skip(f"torch {torch.__version__} keeps its devices' guards elsewhere")
    before, guards[number] = guards[number], guards[meta]
    try:
        yield
    finally:
        guards[number] = before
