"""How often each network is passed, forward and backward, in one update of a method: counted, not told."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .errors import UserError
from .methods.method import Method


@dataclass
class Passes:
    """Passes of one network, each with one batch.

    A pass backward *through* a network whose weights are fixed carries the gradient to its inputs. One that *trains* it
    also computes the weights' gradients.
    """

    forward: int = 0
    through: int = 0
    training: int = 0

    @property
    def units(self) -> int:
        """All of them, in passes forward: a layer's two gradients, to its inputs and to its weights, take about as many
        multiply-adds each as its output.
        """
        return self.forward + self.through + 2 * self.training


def count(method: Method) -> dict[str, dict[str, Passes]]:
    """Passes per phase and network, by running each phase of a stage once: that trains the method's networks.

    Phases: "generator step", "end of stage" (once per stage, behind the generator's steps) and "student step", which
    is the stage's first. Networks: teacher, student, generator, EMA(G), where the method has them.

    Raises
    ------
    UserError
        for HiDFD and DeGAN, where a stage is the GAN's or the student's: there is no stage like all others.
    """
    if hasattr(method, "discriminator"):
        raise UserError("passes: this method's stages are of two kinds, the GAN's and the student's; count them apart")
    phases: dict[str, Callable[[], object]] = {
        "generator step": method.generator_step,
        "end of stage": method.end_generator_stage,
        "student step": method.student_step,
    }
    counted = {}
    for phase, step in phases.items():
        counted[phase] = {name: Passes() for name in networks(method)}
        handles = [_watch(network, counted[phase][name]) for name, network in networks(method).items()]
        try:
            step()
        finally:
            for handle in handles:
                handle.remove()
    return counted


def per_update(method: Method, counted: dict[str, dict[str, Passes]]) -> dict[str, float]:
    """Passes of each network per update of the student, the generator's share of the stage included, in passes forward.

    `counted` is `count`'s; a generator step has `recipe.batch` images, a student step `recipe.student_batch` from each
    source, and batches are taken to be equal.

    Raises
    ------
    UserError
        where a stage's images are used more than once: its student steps then differ.
    """
    r = method.recipe
    if r.reuse > 1:
        raise UserError(f"reuse: the passes of a stage are not counted where it is {r.reuse}; give 1")
    steps = {"generator step": r.generator_steps / r.student_steps, "end of stage": 1 / r.student_steps}
    return {
        name: sum(steps.get(phase, 1) * passes[name].units for phase, passes in counted.items())
        for name in networks(method)
    }


def networks(method: Method) -> dict[str, nn.Module]:
    """The networks that images pass, by the book's names."""
    found = {"teacher": method.teacher, "student": method.student}
    if hasattr(method, "generator"):
        found["generator"] = method.generator
    if getattr(method, "ema", None):
        found["EMA(G)"] = method.ema.network
    return found


def _watch(network: nn.Module, passes: Passes) -> RemovableHandle:
    """Count at the first layer with weights: a pass goes through it once, in whatever parts the network is called."""

    def seen(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        passes.forward += 1
        trains = layer.weight.requires_grad

        def gradient_came(_: Tensor) -> None:
            passes.training += trains
            passes.through += not trains

        if output.requires_grad:
            output.register_hook(gradient_came)

    return _first_layer(network).register_forward_hook(seen)


def _first_layer(network: nn.Module) -> nn.Module:
    """In the order of definition, which in this library is that of use; an embedding of classes is no layer."""
    return next(
        m
        for m in network.modules()
        if not isinstance(m, nn.Embedding) and any(True for _ in m.parameters(recurse=False))
    )
