# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Scoreboard
#
# ```{admonition} What this page gives you
# :class: note
# Every system of the four papers' tables beside ours, made from the records in `results/` and from nothing else. What was not run says so, with the command that would run it.
# **Most rows are not run:** the records are of MNIST and of small digits, on one processor thread, and one short run on CIFAR-100. CIFAR, ImageNet and the other data sets need more compute.
#
# **Default run:** reads records; seconds, no training.
# ```
#
# How to read it. "Last" is the accuracy behind the last step, in percent. "Best" is the highest of all tests along the way, which nobody can pick without test data. "Lost" is the teacher's accuracy minus the last, in points: it can be compared when teachers differ.
# Ours are means over seeds, ± half a 95 % interval. A figure without ± is one run.

# %% tags=["remove-cell"]
if "google.colab" in str(globals().get("get_ipython", str)()): get_ipython().run_line_magic("pip", "install -q dfkd_lib==0.2.0")  # fmt: skip

# %% tags=["parameters"]
dataset: str = "mnist"  # the data set of the picture

# %%
from dfkd_lib import check_parameters

settings = check_parameters(globals())

# %%
import math

import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter, SymmetricalLogLocator

from dfkd_lib import records
from dfkd_lib.lab import papers, pictures, scoreboard
from dfkd_lib.methods import METHODS
from dfkd_lib.recipes import recipe_for


def label(arm):
    """A method, a paper's schedule, and the changed settings."""
    schedule = f", {arm.schedule} schedule" if arm.own else ""
    changes = f" ({', '.join(arm.changes)})" if arm.changes else ""
    return scoreboard.NAMES[arm.method] + schedule + changes


def undecided(arm, among):
    """The others whose 95 % interval of the difference holds 0."""
    found = []
    for other in among:
        common = {*arm.seeds} & {*other.seeds}
        test = records.paired if len(common) > 1 else records.welch
        mean, half, *_ = test(
            arm.records, other.records, "accuracy_last"
        )
        if other is not arm and abs(mean) <= half:
            found.append(other)
    return found


arms = scoreboard.arms()
found = {arm.first["dataset"] for arm in arms}
datasets = sorted(  # the one with the most methods first
    found,
    key=lambda name: (-len(scoreboard.compared(name, arms)), name),
)

# %% [markdown]
# (sec-board-which)=
# ## Which method should I use?
#
# It depends on which images you have.
#
# 1. **The original images.** Use them. Four methods with data lose less than a point on MNIST, and nothing separates the four. (As we run it, FitNet fails on `digits_half`; {doc}`02_arvi` has its seeds.)
# 2. **No images.** MAD, ABM and DFKD-Mem have the highest means on MNIST, and MAD on each set of digits. DFAD and AR+VI are below MAD wherever they ran. But on MNIST none of these differences is decided, and MAD and DFKD-Mem train on twice the images. Noise is no substitute, but for points of a plane.
# 3. **A few images of the same kind.** On `digits_hybrid`, HiDFD and DeGAN, which have them, are level with MAD, which has none.
# 4. **Images of another kind.** It depends on how well they fit. On MNIST, at the short schedule, each method that learns from photographs, or from USPS as it comes, has a lower mean than the five games without images; with USPS framed as MNIST's digits are, HiDFD and alignment lie among them, and KD does not ({doc}`04_hidfd`). At DFAD's schedule, one seed each, KD on photographs ends within {ref}`the band <sec-dfad-rest>` of DFAD's late tests. On `digits`, photographs are less than half a point below MAD, and above the other games.
#
# The cell names the best method without images. Another is not decided against it if the difference, paired over the common seeds, has a 95 % interval that contains zero. These intervals are not corrected for the number of comparisons.

# %% tags=["hide-input"]
lines = []
for name in datasets:
    short = [
        arm for arm in scoreboard.compared(name, arms) if not arm.own
    ]
    free = [arm for arm in short if not METHODS[arm.method].data]
    if free and len(short) > 1:  # else nothing is compared
        level = undecided(free[0], short)
        lines.append(
            f"- `{name}`: **{scoreboard.NAMES[free[0].method]}**, not decided against "
            + ", ".join(scoreboard.NAMES[arm.method] for arm in level)
        )
pictures.Markdown("\n".join(lines))

# %% [markdown]
# What a student loses, against what it cost. Below is better, left is cheaper. Points are numbered by their loss. Minutes are of one thread of a busy machine, and not all of the same machine: read a factor of two as nothing. Bars are 95 % intervals; a single run has none.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Accuracy lost to the teacher against minutes of training, one numbered point per method and schedule, with the names beside; in the default run, on MNIST, methods with the original images lose least and noise most."}}
KINDS = {None: "no images", "original": "the original images"}
ranked = sorted(
    scoreboard.compared(settings.dataset, arms),
    key=lambda arm: arm.lost,
)
groups, names = {}, []
for rank, arm in enumerate(ranked, 1):
    kind = KINDS.get(METHODS[arm.method].data, "other images")
    minutes = arm.mean("seconds")[0] / 60
    point = (minutes, arm.lost, arm.mean("accuracy_last")[1], rank)
    groups.setdefault(kind, []).append(point)
    names.append(f"{rank} {label(arm)}")
if ranked:
    size = (6.4, max(3.6, 1.2 + 0.17 * len(ranked)))
    ax = plt.figure(figsize=size).add_subplot()
    for (kind, points), marker in zip(
        groups.items(), "os^", strict=False
    ):
        x, y, half, ranks = zip(*points, strict=True)
        ax.errorbar(x, y, half, fmt=marker, label=kind, elinewidth=1)
        for rank, *at in zip(ranks, x, y, strict=True):
            ax.annotate(
                str(rank), at, (4, 3), textcoords="offset points",
                fontsize=8,
            )  # fmt: skip
    ax.annotate(
        "\n".join(names), (1.02, 1), xycoords="axes fraction",
        va="top", fontsize=9,
    )  # fmt: skip
    ax.set(xscale="log", xlabel="minutes on one thread")
    ax.set_ylabel("accuracy lost to the teacher (points)")
    ax.set_yscale("symlog", linthresh=1)  # linear below one point
    ax.yaxis.set_major_locator(
        SymmetricalLogLocator(None, (1, 2, 5), 1, 10)
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    ax.figure.legend(
        loc="outside upper left", ncols=len(groups), fontsize=9
    )
    plt.show()
else:
    print(f"{settings.dataset}: not run. The commands stand below.")

# %% [markdown]
# (sec-board-cannot)=
# ## What the tables can and cannot say
#
# 1. **Schedules are short.** What is called "short" has a fifth of the updates of DFAD's on MNIST, and a generator of an eighth of its width. A short schedule favours methods that are quick to start. It says nothing on where each of them ends.
# 2. **Digits are easy.** What separates methods at a hundred classes need not show at ten. No row here says anything about ImageNet.
# 3. **Teachers differ.** Between a paper's teacher and ours, and from paper to paper. So compare what is lost. AR+VI's rows DFL and DFAL are DFAD's figures, and MAD's Table 1 mixes its own with others': their losses are taken from the teacher that each had.
# 4. **Best is not last.** DFAD reports the best test of a run; the others do not say. Ours is the last.
# 5. **Three seeds are few.** Their interval is 4.3 standard errors to each side. Where intervals overlap nothing is decided; where they do not, the seeds at least agree. The papers' ± is a standard deviation, and most of their figures have none.
# 6. **Costs are unequal.** MAD and DFKD-Mem train on a second batch in each step; {doc}`03_mad` has the controls.
#
# (sec-board-short)=
# ## Ours: every method, one schedule per data set
#
# Where a method ran with several settings, this is the arm with the fewest changes to its recipe; they stand in brackets. Chapters 0 to 4 have the rest. "Images" are those that the student was trained on, each time it saw one; the images of HiDFD's GAN are not among them, its hours are. PFLOP are the floating-point operations of all passes of a run, where its records have them. Hours are those of the picture. Runs that the page on {doc}`performance <more/performance>` made again are left out.
#
# On `mnist`, KD-REL and HiDFD take their images from USPS, KD-UNR photographs (Tiny ImageNet, grey, 32 × 32). `digits_half` has half of the digits held out for testing, `digits_hybrid` leaves a part of them to be collected; `moons` are points of the plane.
# DeepInversion is missing: it lives on BatchNorm's statistics, and LeNet-5 has none.


# %% tags=["hide-input"]
def measured(arm):
    """Teacher and last accuracy, best, lost, seeds."""
    mean, half = arm.mean("accuracy_last")
    spread = "" if math.isnan(half) else f"{PM}{half:.2f}"
    top = arm.mean("teacher_accuracy")[0]
    best = arm.mean("accuracy_best")[0]
    accuracies = f"{top:.2f}{TO}{mean:.2f}{spread}"
    seeds = len(arm.seeds)
    return [accuracies, f"{best:.2f}", f"{arm.lost:.2f}", str(seeds)]


TO, PM = (
    f"\N{NO-BREAK SPACE}{sign}\N{NO-BREAK SPACE}" for sign in "→±"
)
parts = []
for name in datasets:
    rows = []
    for arm in scoreboard.compared(name, arms):
        pflop = arm.mean("flop")[0] / 1e15
        row = [label(arm), *measured(arm)]
        row += [f"{arm.mean('samples')[0]:,.0f}"]
        row += ["–" if math.isnan(pflop) else f"{pflop:.2g}"]
        rows.append([*row, f"{arm.mean('seconds')[0] / 3600:.2g}"])
    head = [f"method, on {name}", "teacher → last (%)", "best (%)"]
    head += ["lost", "seeds", "images", "PFLOP", "hours"]
    parts.append(pictures.table(head, rows).text)
pictures.Markdown("\n\n".join(parts))

# %% tags=["hide-cell"]
by = {
    name: {
        arm.method: arm.lost
        for arm in scoreboard.compared(name, arms)
        if not arm.own
    }
    for name in ("mnist", "digits", "digits_half", "digits_hybrid")
}
# What the text above says.
mnist = by["mnist"]
assert max(mnist[m] for m in ("kd_ori", "fitnet", "at", "ft")) < 1
games = ("mad", "abm", "dfkd_mem", "dfad", "arvi")
assert max(mnist[m] for m in games[:3]) < min(
    mnist[m] for m in (*games[3:], "dafl", "random")
)
for name in ("digits", "digits_half", "digits_hybrid"):
    assert by[name]["mad"] == min(
        by[name][m] for m in games if m in by[name]
    )
others = ("kd_rel", "kd_unr", "hidfd", "degan", "kd_collected")
assert max(mnist[m] for m in games) < min(mnist[m] for m in others)
digits = scoreboard.compared("digits", arms)
mad, photographs = (
    next(arm for arm in digits if arm.method == m)
    for m in ("mad", "kd_unr")
)
assert mad.lost < photographs.lost < mad.lost + 0.5
assert photographs.lost < min(
    by["digits"][m] for m in games[1:] if m in by["digits"]
)
played = [
    arm
    for arm in scoreboard.compared("mnist", arms)
    if not arm.own and arm.method in games
]
for arm in played:
    assert len(undecided(arm, played)) == len(played) - 1
framed = {
    (arm.method, "gan_share=0.0" in arm.changes): arm.lost
    for arm in arms
    if "collected_from=usps_framed" in arm.changes
}
best, worst = (f(mnist[m] for m in games) for f in (min, max))
assert best < framed["hidfd", False] < worst
assert best < framed["hidfd", True] < worst
assert framed["kd_collected", False] > worst
(game,) = records.arm("paper", "dfad", "mnist")
(kd,) = records.arm("paper", "kd_unr", "mnist")
late = game["history"]["accuracy"][20:]
assert min(late) < kd["accuracy_last"] < max(late)

# %% [markdown]
# (sec-board-dfad)=
# ### DFAD on MNIST, at its own schedule
#
# The paper: 98.3 ± 0.2 %, the best of a run, over five runs; its teacher has 98.9 % (its Table 2). The schedule is that of its public code where the paper is silent. Each value and its source:

# %% tags=["hide-cell"]
pictures.table(
    ["setting", "value", "source"],
    recipe_for("mnist", "dfad").rows(),
    texts=3,
)

# %% tags=["hide-input"]
full = next(
    r for r in records.arm("paper", "dfad", "mnist") if r["seed"] == 0
)
tail = full["history"]["accuracy"]
tail = tail[len(tail) // 2 :]
print(
    f"seed 0: last {full['accuracy_last']:.2f} %, "
    f"best {full['accuracy_best']:.2f} %"
)
print(
    f"the last {len(tail)} tests: mean {sum(tail) / len(tail):.2f} %, "
    f"from {min(tail):.2f} to {max(tail):.2f} %"
)
assert full["accuracy_best"] > 98.3 and full["accuracy_last"] < 96

# %% [markdown]
# The best test reaches the paper's figure. The last does not. The schedule's learning rates are constant, so the student never comes to rest, {ref}`chapter 1 <sec-dfad-rest>` shows the curve: a run that stops at a random moment gets a random point of a band, and a paper that reports the
# best of a run does not see it. The honest figure of this schedule is the mean of the band. With rates that fall to zero the same game comes to rest, there, on a narrow generator; whether it rests higher, five seeds do not decide. This run with such rates was not made.

# %% [markdown]
# (sec-board-papers)=
# ## The papers' tables
#
# One row for each system at the paper's schedule, and one more for each other schedule that we ran: "short" is this book's. "Not run" is a row without a record. AR+VI's paper names no schedule; "AR+VI's" is DFAD's, by inference ({doc}`02_arvi`). Data sets and networks have the library's names.

# %% tags=["hide-input"]
SHOWN = {
    "dfad": {"2": "accuracy", "3": "mIoU (segmentation)"},
    "arvi": {"1": "accuracy"},
    "mad": {
        "1": "accuracy, with figures of earlier papers",
        "2": "accuracy, all at MAD's settings",
    },
    "hidfd": {
        "1": "accuracy",
        "2": "accuracy, without its parts",
        "3": "accuracy, other networks; teachers are not printed",
    },
}


HEAD = ["method", "data set", "networks"]
HEAD += ["paper: teacher → student (%)", "lost"]
HEAD += ["ours: teacher → last (%)", "best (%)", "lost", "seeds"]


def called(system):
    """The paper's name for a method, and ours where it differs."""
    ours = scoreboard.NAMES.get(system.method, "")
    known = system.name.casefold().startswith(ours.casefold())
    same = system.changes or known
    return system.name if same else f"{system.name} ({ours})"


def system_rows(system):
    """A paper's system, and each schedule of it that we ran."""
    printed = f"{system.teacher_figure or '?'}{TO}"
    printed += str(system.figure or "failed")
    printed += "" if system.spread is None else f"{PM}{system.spread}"
    networks = f"{system.teacher}{TO}{system.student}"
    start = [called(system), system.dataset, networks, printed]
    figures = system.teacher_figure, system.figure
    start.append(
        "–" if None in figures else str(figures[0] - figures[1])
    )
    found, rows = scoreboard.arms_of(system, arms), []
    if not scoreboard.is_run(system, found):
        schedule = "–"
        if not scoreboard.obstacle(system):
            recipe = scoreboard.recipe_of(system)
            schedule = scoreboard.schedule_of(recipe)
        rows = [[*start, "not run", "–", "–", "–", schedule]]
    return rows + [
        [*start, *measured(arm), arm.schedule] for arm in found
    ]


def tables(paper, *numbers):
    """Of a paper, these tables."""
    figures = "one figure, best or last is not stated"
    if paper == "dfad":
        figures = "the best tests of five runs, mean ± deviation"
    parts = [f"The paper's figures: {figures}."]
    for number in numbers:
        rows = [
            row
            for system in papers.SYSTEMS
            if (system.paper, system.table) == (paper, number)
            for row in system_rows(system)
        ]
        parts.append(f"**Table {number}:** {SHOWN[paper][number]}.")
        head = [*HEAD, "schedule"]
        parts.append(pictures.table(head, rows, texts=3).text)
    return pictures.Markdown("\n\n".join(parts))


# %% [markdown]
# ### DFAD

# %% tags=["hide-input"]
tables("dfad", "2", "3")

# %% [markdown]
# ### AR+VI

# %% tags=["hide-input"]
tables("arvi", "1")

# %% [markdown]
# ### MAD

# %% tags=["hide-input"]
tables("mad", "2", "1")

# %% [markdown]
# ### HiDFD
#
# Its Table 1 is long, and folded. By its caption □ is ResNet-34 to VGG-13 and △ VGG-16 to VGG-13; the figures say the opposite (see {doc}`errata`), and so do these rows.

# %% tags=["hide-input"]
tables("hidfd", "2", "3")

# %% tags=["hide-input", "hide-output"]
tables("hidfd", "1")

# %% [markdown]
# (sec-board-commands)=
# ## What would run the rest
#
# Each command runs one system at its full schedule, seed 0; `--seed` has the others. Where the paper prints no schedule for a baseline, it takes DFAD's or MAD's. The record lands in `output/`; as a line of a file in `results/` it enters these tables.

# %% tags=["hide-input", "hide-output"]
missing = {}
for s in papers.SYSTEMS:
    if not scoreboard.obstacle(s) and not scoreboard.is_run(s, arms):
        recipe = scoreboard.recipe_of(s)
        line = records.command(recipe, seed=0)
        missing[line] = [s.dataset, scoreboard.NAMES[s.method]]
        missing[line] += [scoreboard.schedule_of(recipe), f"`{line}`"]
pictures.table(
    ["data set", "method", "schedule", "command"],
    list(missing.values()),
    texts=4,
)

# %% [markdown]
# And these cannot be run with what the library has:

# %% tags=["hide-input"]
obstacles = {}
for s in papers.SYSTEMS:
    if why := scoreboard.obstacle(s):
        table = f"{papers.NAMES[s.paper]} Table {s.table}, {s.dataset}"
        names = obstacles.setdefault(why, {}).setdefault(table, {})
        names[called(s)] = None  # each name once
for why, found in obstacles.items():
    print(f"{why[0].upper()}{why[1:]}:")
    for table, names in found.items():
        print(f"    {table}: {'; '.join(names)}")

# %% [markdown]
# (sec-board-provenance)=
# ## Where our numbers come from
#
# An experiment is a file of `results/`, as in `results/mnist.jsonl`, and each of its lines is the record of a run. A record has the hash of its teacher, all versions and all parameters. A record without them is refused.

# %% tags=["hide-input", "hide-output"]
parts = []
for name in datasets:
    rows = []
    for arm in scoreboard.compared(name, arms):
        hardware = dict.fromkeys(r["hardware"] for r in arm.records)
        commits = dict.fromkeys(r["commit"][:7] for r in arm.records)
        row = [label(arm), arm.experiment]
        row += [", ".join(map(str, arm.seeds)), ", ".join(hardware)]
        row += [arm.first["precision"], ", ".join(commits)]
        rows.append([*row, f"`{arm.first['command']}`"])
    head = [f"method, on {name}", "experiment", "seeds", "hardware"]
    head += ["precision", "commit", "command"]
    parts.append(pictures.table(head, rows, texts=7).text)
pictures.Markdown("\n\n".join(parts))

# %% [markdown]
# (sec-board-arvi)=
# ## The weights of AR+VI
#
# AR+VI's paper names no loss weight, no distribution of $\lambda$, and no discrepancy for its Eq. 9. Ours were found on the digits, not on MNIST: each term
# by itself, then together, two seeds each. (Records of `results/arvi.jsonl`. The first row is DFAD.)

# %% tags=["hide-input"]
tried = {}
for r in records.load_records("arvi", method="arvi"):
    p = r["parameters"]
    mixture = p["mixup"] if p["lambda_vi"] else "–"
    labels = p["mixup_labels"] if p["lambda_vi"] else "–"
    weights = (p["lambda_l"], p["lambda_m"], p["lambda_vi"])
    tried.setdefault((*weights, mixture, labels), []).append(r)
pictures.table(
    [
        "weight of R_l",
        "of R_m",
        "of VI",
        "λ of a mixture",
        "its label",
        "last (%), by seed",
        "mean",
    ],
    [
        [
            *map(str, weights),
            ", ".join(f"{r['accuracy_last']:.2f}" for r in made),
            f"{records.mean_interval(made, 'accuracy_last')[0]:.2f}",
        ]
        for weights, made in sorted(tried.items())
    ],
)
