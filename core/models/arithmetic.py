"""Which arithmetic this processor does well: bfloat16 for training, and a full-speed float32 matrix product."""

from functools import cache
from typing import Any


@cache
def native_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 matrices itself (AVX-512 BF16 or AMX) instead of by emulation."""
    import torch

    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


@cache
def use_full_width() -> bool:
    """Let float32 products use AVX-512 where MKL would not; True where that is so now.

    MKL takes its AVX2 kernels on processors of other makers; oneDNN's are twice as fast there and as exact. PyTorch
    hands float32 products to oneDNN once bfloat16 is allowed inside them, which oneDNN makes use of on AMX alone.
    Where AMX exists or MKL is at home nothing changes, nor where a product would become less exact.
    """
    import torch

    found = torch.cpu.get_capabilities()
    at_home = "Intel" in str(found.get("cpu_name", ""))
    if at_home or not found.get("avx512_f") or found.get("amx_bf16") or not torch.backends.mkldnn.is_available():
        return False
    sample = torch.linspace(-1.0, 1.0, 64 * 64).reshape(64, 64)
    right = sample.double() @ sample.double()
    products: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before, products.fp32_precision = products.fp32_precision, "bf16"
    if torch.allclose((sample @ sample).double(), right, rtol=1e-5, atol=1e-5):
        return True
    products.fp32_precision = before
    return False
