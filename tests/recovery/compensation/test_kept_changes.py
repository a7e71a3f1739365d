"""Changes of weights kept in two bytes a weight."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from evop_deap.recovery.compensation.kept_changes import BYTES, kept, restored


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_changes_are_restored_but_for_the_rounding_of_what_is_added(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(30, 20, generator=generator).to(dtype))
    change = 0.01 * torch.randn(30, 20, generator=generator, dtype=torch.float64)
    wanted = weight.data.double() + change
    small = kept({weight: wanted})
    assert small[weight].itemsize == BYTES
    made = restored(small)[weight]
    assert made.dtype == dtype
    if dtype in (torch.float64, torch.float32):
        torch.testing.assert_close(made.double(), wanted, rtol=1e-5, atol=0.01 * 2**-7)
    else:
        assert torch.equal(made, wanted.to(dtype))
