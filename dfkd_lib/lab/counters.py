"""The cost of a stage in floating-point operations, as torch counts them."""

import copy
from typing import Any

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..methods import State


def flop(settings: Any, state: State) -> int:
    """FLOP of the method's next stage, two a multiply-add; it runs on a copy.

    Counted are the convolutions and matrix products of all passes, forward and
    backward, through all networks: of the layers as they are named, not in the form in
    which a CPU computes some of them.
    """
    twin = copy.deepcopy(state)
    twin.observe, twin.stage = None, state.stage + 1
    for part in (twin.teacher, *twin.parts().values()):
        for layer in part.modules() if isinstance(part, nn.Module) else ():
            if hasattr(layer, "phases"):
                layer.phases = False
    with FlopCounterMode(display=False) as counter:
        settings.stage(twin)
    return counter.get_total_flops()
