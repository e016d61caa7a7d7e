# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Performance
#
# ```{admonition} What this page gives you
# :class: note
# What a run costs, what was done to make it cheaper, and what limits it now. Tables come from the records of `make bench`, in `benchmarks/records/`, and of runs, in `results/`.
# **No GPU has been measured yet.**
#
# **Default run:** reads records, and checks three identities; seconds, no training.
# ```
#
# A data-free student never sees an image twice, unless it is told to. So each of its steps pays for a batch that has to be drawn, for the teacher's answer to it, and only then for the student's own pass forward and backward.
# The public loops pay more: they keep graphs through networks that nobody trains, and compute gradients that nobody reads.
#
# DFAD's public loop is still here, as `--plain`: float32, every graph built, torch's own layers. (Only the order within a stage is ours, generator first, as everywhere in this book. For HiDFD's GAN, `--plain` changes the precision, the layout of memory and the optimiser's updates, nothing else.) Everything below is measured against it.

# %% tags=["remove-cell"]
if "google.colab" in str(get_ipython()): get_ipython().run_line_magic("pip", "install -q dfkd_lib==0.1.0")  # fmt: skip

# %% tags=["parameters"]
dataset: str = "digits"  # whose accuracies to compare: digits, mnist

# %%
from dfkd_lib import check_parameters

settings = check_parameters(globals())

# %%
import copy
import json

import matplotlib.pyplot as plt
import torch
from torch import nn

from dfkd_lib import figures, machine, results
from dfkd_lib.models import fast_layers, phases

folder = results.records_folder()
benchmarks = [
    json.loads(path.read_text())
    for path in sorted(
        (folder.parent / "benchmarks" / "records").glob("*.json")
    )
]

# %% [markdown]
# (sec-perf-identities)=
# ## Three identities
#
# Most of a small game's time went into layers that compute the same number many times, or that are too thin for the processor. They can be rewritten without changing what they compute.
#
# **Doubling, then convolving.** Generator-A doubles its grid by repeating each pixel, $u_{2i} = u_{2i+1} = x_i$, and convolves the result with 3×3 kernels. Look at one axis: $x_i$ are the pixels of the small grid, $u_j$ those of the doubled one, $o_j$ the output, and the kernel is $(w_-, w_0, w_+)$. At an even and at an odd pixel the output is
#
# $$
# o_{2i} = w_-\, x_{i-1} + (w_0 + w_+)\, x_i, \qquad
# o_{2i+1} = (w_- + w_0)\, x_i + w_+\, x_{i+1}.
# $$ (eq-perf-double)
#
# Two products each instead of three: two of the three pixels that the kernel sees are the same. In two dimensions that is four kernels of 2×2 on the small grid, one for each pixel of a 2×2 square: 16 multiply-adds for every 36.
# The kernels are sums of the old weights, so the gradients reach the same weights.
#
# **Convolving, then pooling.** LeNet-5 convolves, and takes the maximum of each 2×2 square of its maps. Cut the images into squares of $s$ pixels a side. Along one axis, pixel $a \in \{0, \dots, s - 1\}$ of square $i$ is, with a kernel $w_0, w_1, \dots$ and the pixels $x_j$ of the image,
#
# $$
# \begin{aligned}
# o_{si+a} &= \sum_k w_k\, x_{si+a+k}, \\
# x_{si+a+k} &\text{ is pixel } (a + k) \bmod s \text{ of square } i + \lfloor (a + k) / s \rfloor .
# \end{aligned}
# $$ (eq-perf-pool)
#
# So with the pixels of a square, its *phases*, as channels, it is a convolution from $s^2$ times the channels to $s^2$ times the channels, and the pooling is a maximum of four groups of maps. It has more products; but it works on many channels where there were few, and a processor that multiplies 16 numbers at once is not idle.
# LeNet-5's first layer, 5×5 from 1 to 6 channels, becomes 2×2 from 16 to 96 with $s = 4$. Behind its pooling there are squares with $s = 2$, which the second layer reads as they are.
#
# **Staying on squares.** Where a generator is narrow, as ours for digits, the two meet: what {eq}`eq-perf-double` computes for the four pixels of a square is left there, as channels, and the next convolution reads it by {eq}`eq-perf-pool`, with $k$ from $-1$. BatchNorm lies between them. Its mean and variance are over all pixels, so those of the four phases $p$, $\mu_p$ and $\sigma_p^2$, are joined:
#
# $$
# \mu = \tfrac14 \sum_p \mu_p, \qquad \sigma^2 = \tfrac14 \sum_p \sigma_p^2 + \tfrac14 \sum_p (\mu_p - \mu)^2 .
# $$ (eq-perf-moments)
#
# Are they the same? In double precision, with gradients, on random weights:

# %%
torch.manual_seed(0)
doubled = [nn.Upsample(scale_factor=2), nn.Conv2d(5, 4, 3, 1, 1)]
pooled = [nn.Conv2d(2, 4, 5), nn.ReLU(), nn.MaxPool2d(2)]
on_squares = [
    nn.BatchNorm2d(4),
    nn.LeakyReLU(0.2),
    nn.Conv2d(4, 3, 3, 1, 1),
]
for name, layers, channels in (
    ("doubling", doubled, 5),
    ("pooling", pooled, 2),
    ("pooling twice", [*pooled, nn.Conv2d(4, 3, 5), *pooled[1:]], 2),
    ("staying on squares", [*doubled, *on_squares], 5),
):
    slow = nn.Sequential(*copy.deepcopy(layers)).double()
    fast = fast_layers.quicken(copy.deepcopy(slow))
    x = torch.randn(3, channels, 16, 16, dtype=torch.float64)
    maps = [network(x) for network in (slow, fast)]
    weights = torch.randn_like(maps[0])
    for y in maps:
        (y * weights).sum().backward()
    gaps = [(maps[0] - maps[1]).abs().max()]
    gaps += [
        (p.grad - q.grad).abs().max() / (1 + p.grad.abs().max())
        for p, q in zip(
            slow.parameters(), fast.parameters(), strict=True
        )
    ]
    worst = max(gap.item() for gap in gaps)
    print(f"{name}: equal to 12 digits: {worst < 1e-12}")
    assert worst < 1e-12

# %% [markdown]
# One function of the library says which pixel each entry of a kernel, a *tap*, reads; all convolutions on squares are made from it. With padding $P$, pixel $a$ reads by tap $k$ the pixel $a + k - P$. Behind a doubling all phases of a square are equal, so their taps are added: that is {eq}`eq-perf-double`. (`both_axes` does this for rows and columns; `two_of_three` drops the square that is never read.)

# %% tags=["hide-input"]
figures.source(phases.taps, phases.UpsampledConv2d)

# %% [markdown]
# (sec-perf-memory)=
# ## Memory that is asked for again and again
#
# Before this change the fast path spent a third of DFAD's own recipe for MNIST not in the program but in the system. A batch of 512 images with 64 channels takes 67 MB in bfloat16, and a stage asked the system for some 2.5 GB in such blocks. The C library gives a block of that size back to the system when it is freed. The next one comes from there again, in pages of 4 KiB, and the system clears each of them first.
#
# So while a run trains on a CPU, freed memory stays with the process, to be used again. `--plain` leaves this out. After the run it is given back:

# %% tags=["hide-input"]
figures.source(machine.kept_memory)

# %% [markdown]
# (sec-perf-ratio)=
# ## Fast against plain
#
# A stage of each game, five student steps and one generator step, and five steps of HiDFD's GAN, in both ways. Each way has a process of its own, as it has in a run, and they take turns: what disturbs the machine disturbs both. Quartiles are of 15 rounds on digits, 9 for HiDFD, 3 for MNIST and the wide pairs. "Of peak" is the rate of operations of the fast one, as a share of what a large matrix product reaches on the same machine in its best precision, bfloat16; LeNet-5 runs in float32. It counts what is done, useful or not: rewritten layers do about half of the operations on MNIST, and a tenth more on digits. Memory is what a stage adds at its peak. What is kept from one stage to the next is not in it. "New pages" is how many a stage has from the system.

# %% tags=["hide-input"]
rows = []
for made in benchmarks:
    for case in made.get("ratios", ()):
        plain, fast = (case["variants"][v] for v in ("plain", "fast"))
        ratio = case["ratio"]
        rows.append(
            [
                f"{case['case']}, batch {case['batch']}",
                f"{1e3 * plain['seconds']['median']:,.0f}",
                f"{1e3 * fast['seconds']['median']:,.0f}",
                f"{ratio['median']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})",
                f"{100 * fast['utilisation']:.0f} %",
                f"{plain['memory_mib']:,.0f}, {fast['memory_mib']:,.0f}",
                f"{plain['new_pages']:,.0f}, {fast['new_pages']:,.0f}",
            ]
        )
for made in benchmarks:
    print(
        f"{made['hardware']}, {made['device']}, {made['threads']} thread; "
        + ", ".join(
            f"peak in {precision} {rate / 1e9:,.0f} GFLOP/s"
            for precision, rate in made["peak"].items()
        )
    )
    print(f"OMP_NUM_THREADS={made['threads']} {made['command']}")
figures.table(
    ["case", "plain (ms)", "fast (ms)", "ratio (quartiles)", "of peak", "MiB: plain, fast", "new pages"],
    rows or [["no record: not run", *[""] * 6]],
)  # fmt: skip

# %% tags=["hide-cell"]
# What the text below says, of the CPU's record.
for made in benchmarks:
    if made["device"] == "cpu":
        times = {
            case["case"].partition(" (")[0]: case["ratio"]["median"]
            for case in made["ratios"]
        }
        shares = {
            case["case"]: case["variants"]["fast"]["utilisation"]
            for case in made["ratios"]
        }
        for m in ("dfad", "abm", "mad"):
            assert 3.5 <= times[f"{m}, digits"] < 4
        assert 3 < times["arvi, digits"] < 3.6
        assert 8.5 < times["dfad, MNIST"] < 9.5
        wrn = [v for name, v in times.items() if "WRN" in name]
        assert 1.95 < min(wrn) and max(wrn) < 2.6
        assert all(v > 0.5 for n, v in shares.items() if "WRN" in n)
        assert min(times, key=times.get).startswith("hidfd")
        done = {
            case["case"].partition(" (")[0]: case["variants"]["fast"][
                "operations"
            ]
            / case["variants"]["plain"]["operations"]
            for case in made["ratios"]
        }
        assert 0.5 < done["dfad, MNIST"] < 0.6
        for m in ("dfad", "arvi", "abm", "mad"):
            assert 1.05 < done[f"{m}, digits"] < 1.15

# %% [markdown]
# On digits DFAD's, ABM's and MAD's games run three and a half to four times as fast as in the public loop, AR+VI's a little less. DFAD with its own recipe for MNIST, whose generator is eight times as wide, is nine times as fast. With wide residual networks and ResNets, small batches and bfloat16 (but for the last layer) it is two to two and a half times, at more than half of the peak. HiDFD's GAN gains least: nothing in it was rewritten.
#
# Not all of it is the layers'. Kept memory alone would shorten the public loop's stage on digits by a third, says `benchmarks/NOTES.md`, which also has the profile, and what was tried in vain. It does not shorten it here, because plain is what the public code does.
#
# What limits it? By the profiles in `benchmarks/NOTES.md`, on MNIST the arithmetic: four fifths of a stage are convolutions, at nearly three quarters of the peak. On digits convolutions are still more than half, and the rest is many small operations. The share of the peak there is of bfloat16's; LeNet-5 runs in float32, whose own peak is a quarter of that.
#
# All this is one process on a quiet machine. The whole runs of the next section were made two or three at a time on two cores, which share caches and memory; there the fast path saves less, as the last column of their table says.

# %% [markdown]
# (sec-perf-same)=
# ## Is it the same student?
#
# The fast path sums in another order and rounds the generator to bfloat16, and teacher and student where they are wide (LeNet-5 is not). From the same seed, how far are its losses from the public loop's? Of all updates in a stage, the largest difference, as a share of the mean loss. Teachers have random weights here, and the wide pairs batches of 8; in the rows "float32" the fast path computes in float32, so that only the order of sums differs.

# %% tags=["hide-input"]
figures.table(
    ["case", "precision", "first stage", "second", "third"],
    [
        [made["case"], made["precision"], *(f"{gap:.2%}" for gap in made["gaps"])]
        for record in benchmarks
        for made in record["first_steps"]
    ],
)  # fmt: skip

# %% [markdown]
# At first nothing but rounding separates them; then the gap mostly grows, for MAD on WRN to a sixth of the loss. So the question is not whether the students are equal, but whether one is better. Five seeds each, paired by seed, from records (`python tools/nightly.py plain fast`):

# %% tags=["hide-input"]
MADE = [("digits", "dfad"), ("digits", "mad"), ("mnist", "dfad")]
rows = []
for dataset, method in MADE if settings.dataset in dict(MADE) else ():
    plain, fast = (
        results.arm(way, method, dataset) for way in ("plain", "fast")
    )
    gap, half = results.paired(fast, plain, "accuracy_last")
    rows.append(
        [
            f"{dataset}, {method}",
            *(
                "{:.2f} ± {:.2f}".format(
                    *results.mean_interval(r, "accuracy_last")
                )
                for r in (plain, fast)
            ),
            f"{gap:+.2f} ± {half:.2f}",
        ]
    )
    saved = [
        slow["seconds"] / quick["seconds"]
        for slow, quick in zip(plain, fast, strict=True)
    ]
    rows[-1].append(f"{min(saved):.1f}–{max(saved):.1f}")
figures.table(
    ["method", "plain (%)", "fast (%)", "fast − plain (points)"]
    + ["time, plain / fast"],
    rows or [["not run", "", "", "", ""]],
)

# %% [markdown]
# No difference that five seeds can see. On digits DFAD's loses less than a point, if anything; for MAD the interval just reaches beyond one, and for MNIST, at the short schedule, it reaches from a loss of two points to a gain of nearly one.

# %% [markdown]
# (sec-perf-buffer)=
# ## What MAD's second batch costs
#
# MAD's student learns from two batches a step, one of them from the averaged generator. The paper measures 1.40 times the time of ABM, and leaves a cure to future work: draw a stage's images before it begins, and keep them in a buffer. A buffer alone saves nothing. What saves time is to use its images more than once: they are drawn once, and the teacher, which does not change, is asked once.
#
# Twenty student steps a stage. Left: the time of MAD's stage, divided by ABM's, which draws anew. Right: what the student then reaches (five seeds, 95 % intervals; `python tools/nightly.py reuse`).

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two charts over the uses of each image, from 1 to 20, on a logarithmic axis. Left, the time of a stage of MAD divided by ABM's: it falls from nearly two, is below one from four uses on, and ends at seven tenths. Right, test accuracy (%) with 95 % intervals: the means go up and down, and the interval at 20 uses is by far the widest."}}
costs = [
    {row["reuse"]: row for row in made["reuse"] if row["case"] != "abm"}
    for made in benchmarks
    if made["device"] == "cpu"
]
slow = {"stages": 40, "student_steps": 20, "stages_per_epoch": 5}
abm = results.arm("reuse", "abm", "digits_half", **slow)
arms = {
    times: results.arm(
        "reuse",
        "mad",
        "digits_half",
        **slow,
        **({"reuse": times} if times > 1 else {}),
    )
    for times in (1, 2, 4, 5, 10, 20)
}
if costs:
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.2))
    times = list(costs[0])
    figures.lines(
        times,
        {"MAD": [costs[0][t]["cost"]["median"] for t in times]},
        x_label="uses of each image",
        y_label="time of a stage / ABM's",
        ax=left,
    )
    left.axhline(1, color="black", linewidth=0.8)
    left.set(xscale="log", xticks=times, xticklabels=times)
    left.minorticks_off()
    accuracies = [
        results.mean_interval(arms[t], "accuracy_last") for t in times
    ]
    right.errorbar(
        times, *zip(*accuracies, strict=True), fmt="o-", capsize=3
    )
    right.set(
        xscale="log",
        xticks=times,
        xticklabels=times,
        xlabel="uses of each image",
        ylabel="test accuracy (%)",
    )
    right.minorticks_off()
    plt.show()

# %% tags=["hide-input"]
figures.table(
    [
        "uses",
        "time / ABM's",
        "accuracy (%)",
        "against one use (points)",
    ],
    [
        [
            "ABM",
            "1",
            "{:.2f} ± {:.2f}".format(
                *results.mean_interval(abm, "accuracy_last")
            ),
            "{:+.2f} ± {:.2f}".format(
                *results.paired(abm, arms[1], "accuracy_last")
            ),
        ],
        *(
            [
                t,
                f"{costs[0][t]['cost']['median']:.2f}"
                if costs
                else "not run",
                "{:.2f} ± {:.2f}".format(
                    *results.mean_interval(r, "accuracy_last")
                ),
                "–"
                if t == 1
                else "{:+.2f} ± {:.2f}".format(
                    *results.paired(r, arms[1], "accuracy_last")
                ),
            ]
            for t, r in arms.items()
        ),
    ],
)

# %% [markdown]
# Drawn anew, MAD costs 1.8 times ABM here, more than in the paper: it does everything in a student step twice, and with twenty such steps a stage is little else. Why the paper measures less we do not know. With two uses it costs a fifth more than ABM, with four less. Five and ten uses show no loss that five seeds could see; four do, just, which may be chance.
# With five and with ten it is ahead of ABM, whose images are all new. What reuse costs exactly is not decided: the means do not fall in order, see [](sec-mad-reuse).

# %% [markdown]
# (sec-perf-growth)=
# ## How cost grows
#
# DFAD's fast path with WRN-40-2 and WRN-16-2 and the full-width Generator-A, one thing at a time.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Three charts of the milliseconds that a stage takes per image. Over the images in a batch they fall at first and then stay level; over the pixels of a side they rise ever more steeply; over the number of classes they hardly change."}}
for made in benchmarks:
    figure, axes = plt.subplots(1, 3, figsize=(6.4, 2.8))
    for ax, (what, points) in zip(
        axes, made["growth"].items(), strict=True
    ):
        figures.lines(
            [p["value"] for p in points],
            {
                "": [
                    1e3 * p["seconds"]["median"] / p["student_batch"]
                    for p in points
                ]
            },
            x_label=what,
            y_label="ms of a stage per image",
            ax=ax,
        )
        ax.set(
            xscale="log",
            xticks=[p["value"] for p in points],
            xticklabels=[p["value"] for p in points],
        )
        ax.set_ylim(0, 1.1 * ax.get_ylim()[1])
        ax.minorticks_off()
    plt.show()

# %% [markdown]
# Per image the cost falls by a quarter up to 32 images a batch and then stays: from there a CPU is busy. Four times the pixels take two to a little over three times the time, since small images leave it idle, too. Classes cost nothing; they are rows of one small matrix. The machine is the one above.
#
# (sec-perf-gpu)=
# ## On a GPU
#
# Not run: no GPU was there. The path is ready. Teacher, student and generator in bfloat16, channels-last, compiled with CUDA graphs where torch can (`--compile off` turns it off), data on the device, losses fetched once an evaluation. These commands make the rows that are missing:
#
# ```bash
# python -m benchmarks.bench --device cuda
# python -m dfkd_lib.teachers --dataset cifar100 --teacher wrn40_2
# python tools/nightly.py wrn_short
# python tools/nightly.py wrn
# python tools/nightly.py resnet
# ```
#
# They stand in the order of their worth: whether the fast path is right and how fast it is, a teacher, then DFAD, ABM and MAD at a tenth of MAD's schedule and at the whole of it, and the large pair. The last three can be stopped, and go on where they were.
#
# What was expected of each change, and what came of it, also of those that were dropped, stands in `benchmarks/NOTES.md`.
