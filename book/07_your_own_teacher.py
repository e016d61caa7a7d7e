# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A teacher of your own
#
# ```{admonition} What this chapter gives you
# :class: note
# You have a trained network and no data. You will have a smaller one, exported as a program that needs nothing of this library,
# and you will be able to say what its numbers promise and what they do not.
#
# **Default run:** real handwritten digits, one CPU thread, about 2 minutes, under 2 GB of memory; no download.
# **A run for real:** hours on one GPU; none of that size has been run for this page. See [](sec-own-larger).
# ```
#
# Symbols are those of {doc}`notation`.

# %% tags=["remove-cell"]
if "google.colab" in str(globals().get("get_ipython", str)()): get_ipython().run_line_magic("pip", "install -q dfkd_lib==0.2.0")  # fmt: skip

# %% tags=["parameters"]
seed: int = 0  # of everything that is random
budget: int = 40  # stages of each run; chapter 3 uses 160
device: str = "cpu"  # cpu or cuda; auto: a GPU if there is one
precision: str = "auto"  # of the generator: float32, bfloat16 or auto
output_dir: str = "output/own"  # a folder, from the checkout's

# %%
from dfkd_lib import check_parameters

settings = check_parameters(globals())

# %%
import json
import subprocess
import sys
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import beta, spearmanr
from torch import nn

import dfkd_lib
from dfkd_lib import theory
from dfkd_lib.distillation import FreshImages
from dfkd_lib.lab import pictures
from dfkd_lib.losses import mae
from dfkd_lib.methods import DFAD, EMA, MAD, Losses, Task
from dfkd_lib.methods.state import frozen
from dfkd_lib.models import build
from dfkd_lib.teachers import resolve_precision
from dfkd_lib.train import TestSet, train

# %% [markdown]
# (sec-own-ten)=
# ## Ten lines
#
# The teacher here is the book's LeNet-5. Pretend that it is yours: a module that takes images and gives logits. It was trained on digits, normalised by a mean of 0.3052 and a standard deviation of 0.3236. That is all you know.

# %% tags=["hide-input"]
digits = dfkd_lib.load_dataset("digits")
teacher = dfkd_lib.load_teacher(digits, "lenet5").network

# %% tags=["nbval-ignore-output"]
done = dfkd_lib.distill(
    teacher,  # any nn.Module, FILE:NETWORK, torchvision:NAME, ...
    "lenet5_half",  # the student: a name as well, or a module
    input_shape=(1, 32, 32),
    num_classes=10,
    mean=(0.3052,),
    std=(0.3236,),
    method="mad",
    stages=settings.budget,
    generator_width=8,  # any setting of MAD's; small, for a CPU
    seed=settings.seed, device=settings.device,
    precision=settings.precision, output_dir=settings.output_dir,
)  # fmt: skip

# %% [markdown]
# No image went in, and no label. What came out:

# %% tags=["nbval-ignore-output"]
sizes, synthetic = done.report["sizes"], done.report["synthetic"]
print(
    f"{sizes['teacher']:,} parameters made {sizes['student']:,}; they "
    f"agree on {synthetic['agreement']:.1f} % of fresh synthetic images"
)
for kind, path in done.files.items():
    print(f"{kind:12s} {path.name:20s} {path.stat().st_size:8,} bytes")
for kind, told in done.report["exports"].items():
    print(f"{kind}: {told}")

# %% [markdown]
# `student.safetensors` holds the weights, for whoever has the network's code. `student.pt2` and `student.onnx` hold the program with them, for any number of images.
# Each was read back and run on random images beside the student; the difference is the largest of any logit. ONNX needs the extra `dfkd_lib[export]`; where it is missing, or a network cannot be told in a format, the report says so and the rest is there.
#
# **The student takes what the teacher took**: images normalised by the same constants. It can stand where the teacher stood; so can both programs. (The weights' file is that of the bare network. Where a teacher normalises by itself, as below, the report's `weights_take` says by which constants that network wants its images.)
#
# To see that nothing else is needed, another process reads the program. It imports torch, and not this library:

# %% tags=["nbval-ignore-output"]
program = """
import sys, torch
net = torch.export.load(sys.argv[1]).module()
print([round(v, 4) for v in net(torch.ones(1, 1, 32, 32))[0].tolist()])
print("dfkd_lib" in sys.modules)
"""
told = subprocess.run(
    [sys.executable, "-c", program, done.files["torch.export"]],
    capture_output=True, text=True, check=True,
).stdout  # fmt: skip
print(told)
with torch.no_grad():
    here = done.student(torch.ones(1, 1, 32, 32))[0]
logits, imported = told.splitlines()
assert np.allclose(json.loads(logits), here, atol=1e-3)
assert imported == "False"

# %% [markdown]
# (sec-own-constants)=
# ## The one thing you must know: the constants
#
# `mean` and `std` are asked for and never guessed. Why so strict?
#
# The generator makes pixels of mean 0 and variance 1 in each channel; its last layer sees to that ({doc}`01_dfad`). It is the only thing that it knows of the data.
# That is right for a teacher whose images were normalised by their own moments. Now take a teacher that wants pixels from 0 to 255 and normalises by itself. Its constants are a mean of 0 and a standard deviation of 1/255: that is what brings pixels from 0 to 1 to what it takes. Suppose that somebody thinks it takes pixels from 0 to 1.


# %%
class TakesPixels(nn.Module):
    """The same teacher, for pixels from 0 to `white`."""

    def __init__(self, network, white):
        super().__init__()
        self.network, self.white = network, white

    def forward(self, pixels):
        return self.network((pixels / self.white - 0.3052) / 0.3236)


# %% tags=["nbval-ignore-output"]
pixels = torch.from_numpy(digits.x_test).permute(0, 3, 1, 2).float()


def agreement(network, student, x):
    """In percent, of two networks on images."""
    with torch.no_grad():
        same = network(x).argmax(1) == student(x).argmax(1)
    return 100 * same.double().mean().item()


takes = {
    "0 to 255": TakesPixels(teacher, 255),
    "0 to 1": TakesPixels(teacher, 1),
}
rows = []
for pixels_of, mean, std, name in (
    ("0 to 255", 0.0, 1 / 255, "right: 0, 1/255"),
    ("0 to 255", 0.0, 1.0, "wrong: 0, 1"),
    ("0 to 1", 0.0, 1.0, "right: 0, 1"),
    ("0 to 1", 0.3052, 0.3236, "wrong: 0.3052, 0.3236"),
):
    own, x = takes[pixels_of].eval(), pixels * int(pixels_of[5:]) / 255
    made = dfkd_lib.distill(
        own, "lenet5_half", input_shape=(1, 32, 32), num_classes=10,
        mean=(mean,), std=(std,), method="dfad", generator_width=8,
        stages=settings.budget, seed=settings.seed, onnx=False,
        device=settings.device, precision=settings.precision,
        output_dir=f"{settings.output_dir}/constants/{len(rows)}",
    )  # fmt: skip
    rows.append(
        [
            pixels_of,
            name,
            f"{made.report['synthetic']['agreement']:.1f}",
            made.report["synthetic"]["classes"],
            f"{agreement(own, made.student, x):.1f}",
        ]
    )
pictures.table(
    [
        "teacher takes",
        "mean, std told",
        "agree on fresh images (%)",
        "classes of these",
        "agree on digits (%)",
    ],
    rows,
)

# %% [markdown]
# The wrong run looks better than any other on this page, and ends at once: the two networks agree on every synthetic image. They are all black to this teacher, one grey level of 255 apart, and it gives them all the same answer. On real digits its student is blind. **Agreement does not show it.** One other number does, here: into how many classes the teacher puts the synthetic images. `distill` warns where the effective number of classes, the exponential of their entropy, is below half of them.
#
# Some mistakes do less harm. The last row is told the moments of the digits, as if the teacher took normalised images; but this one takes pixels from 0 to 1. The generator's images then reach beyond that range. Here its student agrees less often, but it is not blind: what matters is that the images cover what the student will meet.

# %% [markdown]
# (sec-own-trust)=
# ## What can the numbers tell?
#
# Without data there is one number to watch: on how many synthetic images the two networks agree. `distill` measures it on images that the generator draws anew for each test, so nobody has learned from them. How does it relate to the number that you want, agreement on real images?
#
# We can look, because these digits were only pretended to be gone. The run above, once more, with both numbers. It is put together from the library's parts, as `distill` does it:


# %% tags=["nbval-ignore-output"]
class Both:
    """Tests a run on fresh synthetic images, and on real ones."""

    def __init__(self, real):
        self.real, self.seen = real, []

    def scores(self, state):
        fresh = FreshImages().scores(state)
        real = self.real.scores(state)
        self.seen.append(
            (state.samples, fresh.agreement, real.agreement)
        )
        return fresh


mad = MAD(
    stages=settings.budget,
    stages_per_epoch=max(settings.budget // 15, 1),
)
precision = resolve_precision(settings.precision, settings.device)
task = Task(
    num_classes=10,
    shape=(1, 32, 32),
    device=torch.device(settings.device),
    dtype=getattr(torch, precision),
)
torch.manual_seed(settings.seed)  # of the first weights
state = mad.start(
    teacher, build("lenet5_half", 10), task, settings.seed
)
watched = Both(TestSet.of(digits, state.teacher, settings.device))
history = train(mad, state, watched, title="watched", progress=False)
weights = zip(
    state.student.cpu().parameters(),
    done.student.parameters(),
    strict=True,
)
print(
    "the same student as above:", all(torch.equal(*w) for w in weights)
)

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"image": {"alt": "Agreement of student and teacher in percent, over thousands of synthetic images that the student was trained on. Two lines rise together, steeply at first and then slowly; after the first tests the line for real test images lies above the one for fresh synthetic images."}}
samples, fresh, true = np.array(watched.seen).T
pictures.lines(
    samples / 1000,
    {"fresh synthetic images": fresh, "real test images": true},
    x_label="synthetic images the student was trained on (thousands)",
    y_label="agreement with the teacher (%)",
)
plt.show()
print(
    f"rank correlation over {len(fresh)} tests: "
    f"{spearmanr(fresh, true).statistic:.2f}"
)

# %% [markdown]
# Within this run the two curves rise together: where one still climbs, so does the other. After the first tests the synthetic one lies *below*: the generator looks for images on which the networks disagree, so it asks harder questions than a real digit does.
#
# So here the number's *movement* says more than its height. Do not compare heights between runs: another method has another generator, which asks other questions. Is it always so? What can be said in general is this.
#
# Let $P$ be the distribution of the images that the student will meet, $Q$ the generator's, and $A_P$, $A_Q$ the probabilities that the two networks name the same class on an image of each.
#
# ```{prf:theorem} What agreement on other images promises
# :label: thm-own-agreement
# For any two networks,
#
# $$
# | A_P - A_Q | \;\le\; \mathrm{TVD}(P, Q),
# $$ (eq-own-agreement)
#
# and for any $P$ and $Q$ there are functions $T$ and $S$ for which the two sides are equal.
# ```
#
# ```{prf:proof}
# $A_P = P(M)$ and $A_Q = Q(M)$ for the same set $M$: the images on which the networks name the same class. The total variation distance is the largest difference $P(M) - Q(M)$ over all sets; that is its definition. With densities $p$ and $q$ of $P$ and $Q$, the largest is reached at $\{x : p(x) > q(x)\}$, and at $\{x : q(x) > p(x)\}$ with the other sign: a student that copies its teacher on one of these sets and nowhere else has it for its $M$.
# ```
#
# Check both halves on random distributions over 40 points:

# %%
rng = np.random.default_rng(0)
largest = 0.0
for _ in range(1000):
    p, q = rng.dirichlet(np.ones(40), size=2)
    same = rng.random(40) < rng.random()
    distance = theory.tvd(p, q)
    gap = abs(p[same].sum() - q[same].sum())
    assert gap <= distance + 1e-12
    best = p > q
    assert np.isclose(p[best].sum() - q[best].sum(), distance)
    largest = max(largest, gap / distance)
print(f"largest gap found: {100 * largest:.0f} % of the distance")

# %% [markdown]
# The right side is what you cannot know. Where synthetic images and real ones do not overlap, it is 1, and the theorem promises nothing. That is no weakness of the proof: the second half, with the second set, says that a student *can* agree everywhere on $Q$ and nowhere on $P$. The second row of [](sec-own-constants) comes near to that by a small mistake.
#
# ```{admonition} When not to trust a student without a real image
# :class: warning
# - **A wrong constant**, a wrong order of the channels, a wrong size. The networks agree on the wrong images, and agreement does not show it.
# - **A teacher that is wrong.** The student learns its mistakes. Agreement is no accuracy.
# - **A rare class.** Fresh images are shared out over classes as the generator likes. A class that it hardly draws counts hardly.
# - **A run that still climbs.** It was too short, whatever its height: begin anew with more stages, since the learning rates follow their number.
# - **High agreement by itself.** It is a reason to look on, not to deploy.
# ```
#
# ### A handful of real images says more
#
# They need no labels. Give a folder, or an npz with an array `x`, as `check=`, and the report says on how many of them teacher and student agree. They are used at the very end, and for nothing else.
#
# How many are needed? If the student agrees on all $n$ images of an independent sample, then with confidence $1 - \delta$
#
# $$
# A_P \;\ge\; \delta^{1/n} .
# $$ (eq-own-few)
#
# ```{prf:proof}
# Suppose $A_P < \delta^{1/n}$. Then agreement on all $n$ has probability $A_P^n < \delta$.
# ```

# %%
for n in (10, 60, 300, 3000):
    print(f"all of {n:5,} agree: A ≥ {100 * 0.05 ** (1 / n):.2f} %")

# %% [markdown]
# So if a student agrees with its teacher on *all* of sixty photographs, none of them labelled, that promises 95 %, with 95 % confidence. They must be drawn as those that the student will meet, independently, and looked at once: a check by which you choose settings is no check any more. No number of synthetic images promises that much.
#
# Where some disagree, the bound is Clopper and Pearson's, the smallest $A$ with which so many agreements would still be seen in 5 % of cases:

# %% tags=["nbval-ignore-output"]
normalised = (pixels / 255 - 0.3052) / 0.3236
told = agreement(teacher, done.student, normalised[:60])
agreed = round(0.6 * told)
low = 100 * beta.ppf(0.05, agreed, 60 - agreed + 1) if agreed else 0.0
print(f"the student of ten lines: {agreed} of 60, so A ≥ {low:.1f} %")

# %% [markdown]
# (sec-own-method)=
# ## A method of your own
#
# Every adversarial method is four choices ([](sec-four-choices)). Here is one that no paper of this book has: DFAD's discrepancy, the mean absolute error of logits, with MAD's second source of samples.


# %%
@dataclass(frozen=True)
class MomentumDFAD(DFAD):
    """DFAD's game, whose student also learns from EMA(G)."""

    momentum: float = 0.95  # of EMA(G)

    def start(self, teacher, student, task, seed):
        s = super().start(teacher, student, task, seed)
        s.ema = EMA(s.generator, self.momentum)
        return s

    def stage(self, s):
        losses = Losses()
        for _ in range(self.generator_steps):
            with frozen(s.student):
                x = s.generator(*s.noise(self.batch))
                d = mae(s.teacher(x), s.student(x))
                loss = losses.add("generator", {"-MAE": -d})
                s.generator_optimizer.zero_grad()
                loss.backward()
            s.generator_optimizer.step()
        s.ema.update(s.generator)
        s.watched()  # probes look here

        sources = {"G": s.generator, "EMA(G)": s.ema.network}
        for _ in range(self.student_steps):
            terms = {}
            for name, source in sources.items():
                x = s.draw(source, self.student_batch)
                terms[f"MAE on {name}"] = mae(
                    s.teacher(x), s.student(x)
                )
                s.samples += len(x)
            loss = losses.add("student", terms)
            s.student_optimizer.zero_grad()
            loss.backward()
            s.student_optimizer.step()
        return losses


# %% [markdown]
# That is all of a method: settings, `start`, which makes what a run needs, and `stage`, which is run again and again. The other settings are DFAD's, and so are networks, optimisers and noise; `s` holds them. A loss is a dictionary of named terms; `add` returns their sum, and a run that breaks down names the term. Whatever `s` holds is in the checkpoints. `distill` takes the class in place of a name:

# %% tags=["nbval-ignore-output"]
mine = dfkd_lib.distill(
    teacher, "lenet5_half", input_shape=(1, 32, 32), num_classes=10,
    mean=(0.3052,), std=(0.3236,), method=MomentumDFAD,
    stages=settings.budget, generator_width=8, onnx=False,
    seed=settings.seed, device=settings.device,
    precision=settings.precision,
    output_dir=f"{settings.output_dir}/mine",
)  # fmt: skip
for name, made in {"MAD": done, "yours": mine}.items():
    print(
        f"{name:6s} synthetic {made.report['synthetic']['agreement']:.1f} %"
        f", real {agreement(teacher, made.student, normalised):.1f} %"
    )

# %% [markdown]
# One seed and a short schedule: that says that it runs, not that it is better. How to find out is the subject of {doc}`00_foundations`.
#
# (sec-own-larger)=
# ## Larger networks
#
# The same call, for a ResNet-50 of torchvision's on a GPU. This cell is not run here: it would download 100 MB and take hours.
#
# ```python
# done = dfkd_lib.distill(
#     "torchvision:resnet50", "torchvision:mobilenet_v3_large",
#     input_shape=(3, 224, 224), num_classes=1000,
#     stages=20_000, batch=64, student_batch=64,
#     check="photographs/", device="cuda",
# )
# ```
#
# What to expect, and what to change:
#
# - Torchvision's and timm's teachers bring their constants. For a checkpoint of a network of this library, write `"weights.safetensors:resnet34_8x"`.
# - **Large images are harder.** MAD's paper loses 2 points of its teacher's accuracy on CIFAR-10 and 11 on ImageNet (its Table 2, in {doc}`03_mad`); nothing of that size has been run here. If you have a few real images, read {doc}`04_hidfd`; HiDFD runs by `python -m dfkd_lib.run`, not by `distill`.
# - A teacher with BatchNorm tells more: its stored moments are a picture of its data, and MAD's generator is drawn to them.
# - A run that breaks down says at which step, in which term, and to lower `student_lr` or `generator_lr`.
# - A long run writes checkpoints into `output_dir`. After a crash, or Ctrl-C, the same call with `resume=True` goes on.
# - A run ends before its stages do where it agrees on `percent` of fresh images in three tests in a row, or where `patience` tests brought no gain.
#
# (sec-own-choices)=
# ## Choices
#
# What no paper says, and we chose:
#
# 1. Pixels from 0 to 1 of mean $m$ have a variance below $m(1 - m)$. Constants beyond that, or a spread below 1/32, cannot be moments: they tell a range. The generator's images then stand for pixels of mean 0.5 and spread 0.25: they are brought to what the teacher takes, and the student is trained on them as they are. What you get takes what the teacher took; the step in front of the network is part of it, and of the exported programs.
# 2. Generator-A up to 64 pixels, Generator-B above, at DFAD's width; the rest of the recipe is that of our digits. `settings` changes any of it.
# 3. Tests use 1,024 images, drawn in batches as the generator is trained, from noise of their own; 40 tests a run at most.
# 4. `percent=99.5` and `patience=20` end only runs that are over. On a schedule whose rates fall to zero the last stages still gain, so an earlier end costs.
# 5. A student given as a module starts from the weights it has. One given by name starts from random ones.
#
# (sec-own-exercises)=
# ## Exercises
#
# ```{exercise}
# :label: ex-own-channels
# Your teacher was trained on images whose channels were stored in the order blue, green, red. You feed the student photographs in the order red, green, blue. Which of the numbers above shows it?
# ```
#
# ```{solution} ex-own-channels
# :class: dropdown
# Agreement on fresh images does not: the generator makes what the teacher answers to, whatever the channels are called. Agreement on real images may hardly show it either, if both networks are fed the wrong order: they can agree on wrong answers. Only labels, or somebody who looks at the answers, can.
# ```
#
# ```{exercise}
# :label: ex-own-bound
# 60 of 60 images agree. A colleague has 600 images, of which 597 agree. Who may promise more?
# ```
#
# ```{solution} ex-own-bound
# :class: dropdown
# The smallest $A$ for which 597 or more of 600 would still be seen in 5 % of cases solves $\sum_{k \ge 597} \binom{600}{k} A^k (1 - A)^{600 - k} = 0.05$. The next cell solves it: about 98.7 %, against 95.1 % for 60 of 60. More images beat a clean sheet.
# ```

# %%
low = beta.ppf(0.05, 597, 600 - 597 + 1)  # Clopper and Pearson's
print(f"597 of 600: A ≥ {100 * low:.2f} %")
print(f" 60 of  60: A ≥ {100 * 0.05 ** (1 / 60):.2f} %")

# %% [markdown]
# ```{exercise}
# :label: ex-own-choice
# Write a method whose student learns from EMA(G) alone. Which of the four choices changes? Run it with `momentum=0.5` and with `momentum=0.99`. What do you expect of the second?
# ```
#
# ```{solution} ex-own-choice
# :class: dropdown
# The third: where the student's samples come from. The next cell has it. With 0.99 the average is about 100 stages old: longer than this run, so most of it is the generator that was never trained. It teaches something, and less than a generator that looks for disagreement. In {doc}`03_mad` an untrained *second* generator has no visible cost on digits: there, the first one does the work.
# ```


# %% tags=["nbval-ignore-output", "hide-input"]
@dataclass(frozen=True)
class FromTheAverage(MAD):
    """The student learns from EMA(G) alone."""

    def images(self, s):
        x = s.draw(s.ema.network, self.student_batch)
        return {"EMA(G)": (self.lambda1, x, s.teacher(x))}


for momentum in (0.5, 0.99):
    made = dfkd_lib.distill(
        teacher, "lenet5_half", input_shape=(1, 32, 32), num_classes=10,
        mean=(0.3052,), std=(0.3236,), method=FromTheAverage,
        stages=settings.budget // 2, generator_width=8, onnx=False,
        momentum=momentum, seed=settings.seed, device=settings.device,
        precision=settings.precision,
        output_dir=f"{settings.output_dir}/average/{momentum}",
    )  # fmt: skip
    print(
        f"momentum {momentum}: real "
        f"{agreement(teacher, made.student, normalised):.1f} %"
    )
