"""What of a recipe a machine does in reasonable time, and in which precision."""

import torch

from .recipe import Recipe
from .sources import EMBEDDED


def resolve_precision(precision: str, device: str) -> str:
    """'auto' is bfloat16 where the processor has instructions for it, else float32."""
    if precision != "auto":
        return precision
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bfloat16" if fast else "float32"


def apply_budget(budget: str | int, recipe: Recipe, device: str, *, gan: bool = False) -> tuple[Recipe, str]:
    """The recipe as a budget allows it, and a sentence that says what will run.

    'full' is the recipe's schedule; a number is so many of its stages; 'short' shows that everything works, in 20
    student steps on small batches. 'auto' is full on a GPU, and for embedded data, a CPU's work of a minute; else
    short. `gan`: the first `gan_share` of the stages have no student steps.
    """
    if budget == "auto":
        small = recipe.dataset in EMBEDDED and recipe.stages * recipe.student_steps <= 10_000
        budget = "full" if device == "cuda" or small else "short"
    if budget == "short":
        shown = recipe.replace(
            stages=min(recipe.stages, 4),
            student_steps=min(recipe.student_steps, 5),
            generator_steps=min(recipe.generator_steps, 2),
            pretrain_steps=min(recipe.pretrain_steps, 2),
            inversion_steps=min(recipe.inversion_steps, 5),
            synthetic=min(recipe.synthetic, 256),
            batch=min(recipe.batch, 64),
            student_batch=min(recipe.student_batch, 64),
            stages_per_epoch=1,
            reuse=1,
        )
    else:
        shown = recipe if budget == "full" else recipe.replace(stages=budget)
    steps = [(r.stages - gan * r.gan_stages) * r.student_steps for r in (shown, recipe)]
    if budget != "short" and shown.stages > recipe.stages:
        return (
            shown,
            f"more than the full schedule of {recipe.stages:,} stages: {shown.stages:,}, {steps[0]:,} student steps",
        )
    if budget != "short" and shown.stages == recipe.stages:
        return shown, f"the full schedule: {shown.stages:,} stages, {steps[0]:,} student steps"
    times = steps[1] * recipe.student_batch / (steps[0] * shown.student_batch)
    return shown, (
        f"NOT THE FULL SCHEDULE: {steps[0]:,} student steps on batches of {shown.student_batch}, of {steps[1]:,} on "
        f"{recipe.student_batch}. Its accuracy is not the method's. The full schedule, budget full, is {times:,.0f} "
        "times the work."
    )
