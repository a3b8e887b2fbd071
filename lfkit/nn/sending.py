"""Arrays of the host sent to a device without waiting for what that has to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def sent(array: NDArray[Any], device: torch.device | str) -> torch.Tensor:
    """Send an array, as a tensor of its type; on the CPU it is the array's own memory.

    That is copied if nobody may write to it. A plain copy to a GPU waits until all that
    was asked of it before is done.
    """
    found = torch.from_numpy(np.require(array, requirements=("C", "W")))
    if torch.device(device).type == "cuda":
        found = found.pin_memory()  # memory that can be swapped out is waited for, too
    return found.to(device, non_blocking=True)
