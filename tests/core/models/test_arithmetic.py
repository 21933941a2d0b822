from collections.abc import Iterator
from typing import Any

import pytest
import torch

from core.models.arithmetic import native_bfloat16, use_full_width

OTHER_MAKER = {"cpu_name": "AMD EPYC", "avx512_f": True, "avx512_bf16": True, "amx_bf16": False}


@pytest.fixture
def products() -> Iterator[Any]:
    """PyTorch's setting for float32 products, put back afterwards."""
    setting: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before, setting.fp32_precision = setting.fp32_precision, "ieee"
    yield setting
    setting.fp32_precision = before


def told(monkeypatch: pytest.MonkeyPatch, **capabilities: Any) -> bool:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: OTHER_MAKER | capabilities)
    return use_full_width.__wrapped__()


def test_products_stay_as_exact_as_float32_is(products: Any) -> None:
    use_full_width.__wrapped__()
    generator = torch.Generator().manual_seed(3)
    for rows, inner, columns in ((1, 384, 77), (33, 384, 1536), (200, 1536, 384)):
        left, right = (torch.randn(shape, generator=generator) for shape in ((rows, inner), (inner, columns)))
        exact = left.double() @ right.double()
        assert float((left @ right - exact).abs().max()) < 1e-3  # bfloat16 would be off by about 0.3


@pytest.mark.parametrize("lacking", [{"cpu_name": "Intel(R) Xeon(R)"}, {"avx512_f": False}, {"amx_bf16": True}])
def test_a_processor_without_need_or_with_rounder_products_is_left_alone(
    products: Any, monkeypatch: pytest.MonkeyPatch, lacking: dict[str, Any]
) -> None:
    assert not told(monkeypatch, **lacking)
    assert products.fp32_precision == "ieee"


def test_products_that_come_out_rounded_take_the_setting_back(products: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "allclose", lambda *given, **more: False)
    assert not told(monkeypatch)
    assert products.fp32_precision == "ieee"


@pytest.mark.parametrize(("feature", "native"), [("avx512_bf16", True), ("amx_bf16", True), ("avx2", False)])
def test_bfloat16_is_native_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, feature: str, native: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {feature: True})
    assert native_bfloat16.__wrapped__() is native
