"""The cost of a stage in floating-point operations, as torch counts them."""

import copy
from typing import Any

from torch.utils.flop_counter import FlopCounterMode

from ..methods import State
from ..models.network import as_named


def flop(settings: Any, state: State) -> int:
    """FLOP of the method's next stage, two a multiply-add; it runs on a copy.

    Of all passes, forward and backward, the convolutions and matrix products count.
    """
    twin = copy.deepcopy(state)
    twin.observe, twin.stage = None, state.stage + 1
    with as_named(), FlopCounterMode(display=False) as counter:
        settings.stage(twin)
    return counter.get_total_flops()
