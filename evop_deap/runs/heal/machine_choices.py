"""What a training decides by measuring the machine: once, at its start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class MachineChoices:
    """Choices by speed and free memory. A resumed training keeps them, as both change.

    Attributes:
        full: whether all weights are trained.
        narrow: whether to compute in bfloat16.
        pass_windows: windows in a forward pass.

    Example:
        >>> MachineChoices(full=True, narrow=False, pass_windows=4).pass_windows
        4
    """

    full: bool
    narrow: bool
    pass_windows: int

    @classmethod
    def measured(
        cls,
        device: torch.device,
        *,
        full: bool | None,
        parameters: int,
        step_windows: int,
        window: int,
        vocabulary: int,
    ) -> MachineChoices:
        """Return what suits a device now.

        Args:
            device: device of the training.
            full: whether to train all weights; None trains them if they fit in memory.
            parameters: number of weights of the model.
            step_windows: windows in a step of the optimizer.
            window: length of a window in tokens.
            vocabulary: number of logits of a token.
        """
        import torch

        from evop_deap.models.loading.hardware import choose_dtype
        from evop_deap.recovery.healing.students import fits_whole
        from evop_deap.recovery.healing.training import windows_in_a_pass

        return cls(
            full=fits_whole(parameters, device) if full is None else full,
            narrow=choose_dtype("auto", torch.bfloat16, device) is torch.bfloat16,
            pass_windows=windows_in_a_pass(step_windows, window, vocabulary, device),
        )
