"""Text that a toy model itself has written, so that its loss on it means something."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel


def own_text(model: PreTrainedModel, rows: int, length: int = 24) -> NDArray[np.int64]:
    """(rows, length) tokens drawn from the model's own predictions, after a first random one."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 80, (rows, 1), generator=generator)
    with torch.no_grad():
        while ids.shape[1] < length:
            logits = model(input_ids=ids, use_cache=False).logits[:, -1, :88]
            chances = (2.0 * logits).softmax(-1)
            ids = torch.cat([ids, torch.multinomial(chances, 1, generator=generator)], 1)
    return ids.numpy()
