"""Momentum Adversarial Distillation (Do et al. 2022): the student also learns from an averaged generator."""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from .abm import ABM
from .method import Terms


class EMA:
    """An exponential moving average of a network: θ̃ ← α θ̃ + (1 − α) θ, from θ̃_0 = θ_0 (MAD Eq. 5).

    The average is over weights. BatchNorm's running statistics are no weights, and the statistics of an averaged
    network are not the average of statistics; MAD is silent on it. `statistics` says what the copy normalises with:

    - ``batch``: the batch's own moments, as the generator in training does (the default);
    - ``averaged``: running statistics averaged like weights, from BatchNorm's initial 0 and 1;
    - ``reestimated``: running statistics measured on the averaged network itself, by `reestimate`.
    """

    def __init__(self, network: nn.Module, momentum: float, statistics: str = "batch"):
        self.momentum = momentum
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.statistics = statistics
        self.network.train(statistics == "batch")

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """One step of the average, towards `network`."""
        ours, theirs = list(self.network.parameters()), list(network.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - self.momentum)
        if self.statistics == "averaged":
            for mine, other in zip(self.network.buffers(), network.buffers(), strict=True):
                if mine.is_floating_point():  # not the counter of batches
                    mine.lerp_(other, 1 - self.momentum)

    @torch.no_grad()
    def reestimate(self, *batches: tuple[Tensor, ...]) -> None:
        """Measure the averaged network's BatchNorm statistics on batches of its inputs, equally weighted."""
        layers = [m for m in self.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        usual = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # torch's spelling of a plain mean over batches
        self.network.train()
        for inputs in batches:
            self.network(*inputs)
        self.network.eval()
        for layer, momentum in zip(layers, usual, strict=True):
            layer.momentum = momentum


class MAD(ABM):
    """ABM, whose student also learns from an averaged generator's samples."""

    choices = replace(ABM.choices, samples_from="G and EMA(G)")
    uses = (*ABM.uses, "momentum", "lambda1", "ema_statistics")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        r = self.recipe
        self.ema = EMA(self.generator, r.momentum, r.ema_statistics)

    def parts(self) -> dict[str, object]:
        return super().parts() | {"ema": self.ema.network}

    def prepare(self) -> None:
        """The average starts at the pretrained generator (ours: the paper does not say what θ_0 is)."""
        super().prepare()
        self.ema.network.load_state_dict(self.generator.state_dict())

    def end_generator_stage(self) -> None:
        """MAD Eq. 5: once per stage, behind its n_G generator steps."""
        self.ema.update(self.generator)
        if self.recipe.ema_statistics == "reestimated":
            z, y = self.noise(self.recipe.batch)
            self.ema.reestimate((z, y) if self.conditional else (z,))

    def student_images(self) -> list[Tensor]:
        """One batch from G, one from EMA(G)."""
        n = self.recipe.student_batch
        return [self.draw(self.generator, n), self.draw(self.ema.network, n)]

    def student_loss(self, images: list[Tensor]) -> Terms:
        """MAD Eq. 4. Two passes: BatchNorm sees each batch by itself."""
        x, x_ema = images
        return self.match(x, "G", self.recipe.lambda0) | self.match(x_ema, "EMA(G)", self.recipe.lambda1)
