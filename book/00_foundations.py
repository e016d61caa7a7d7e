# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Foundations
#
# The claim that all papers of this book share: a student network needs neither labels nor the teacher's training images, because the teacher's answers on the right images suffice.

# %% tags=["remove-cell"]
if "google.colab" in str(globals().get("get_ipython", str)()): get_ipython().run_line_magic("pip", "install -q dfkd_lib==0.2.0")  # fmt: skip

# %% tags=["parameters"]
dataset: str = "digits"  # or mnist, cifar100, ...: see `run list`
teacher: str = "auto"  # wrn40_2, FILE:NETWORK, ...; auto: the recipe's
student: str = "auto"  # wrn16_2, ...; auto: the recipe's
seed: int = 0  # of the runs that are made here
budget: str = "auto"  # auto, full, short, stages, or FLOP as 0.2PF
device: str = "auto"  # cpu or cuda; auto: a GPU if there is one
overrides: str = ""  # settings of the recipe; README says how

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the set-up"}
from dfkd_lib import prepare

settings, data, trained, recipe = prepare(globals(), "kd_ori")

import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import stats
from scipy.special import softmax

from dfkd_lib import losses, methods, records, run, theory
from dfkd_lib.errors import UserError
from dfkd_lib.lab import pictures
from dfkd_lib.lab.papers import SYSTEMS
from dfkd_lib.lab.scoreboard import NAMES
from dfkd_lib.recipes import recipe_for
from dfkd_lib.teachers import logits_of
from dfkd_lib.train import TestSet

KINDS = {
    "kd_ori": "original images",
    "kd_rel": "related images",
    "kd_unr": "unrelated images",
    "random": "noise",
}
digits = {m: records.arm("foundations", m, "digits") for m in KINDS}
mnist = {m: records.arm("mnist", m, "mnist") for m in KINDS}


def printed(method, dataset, pair="resnet34_8x-resnet18_8x"):
    """A method's row in its own paper's table, else in the newest."""
    found = [
        system
        for system in SYSTEMS
        if (system.method, system.dataset) == (method, dataset)
        and f"{system.teacher}-{system.student}" == pair
        and system.figure is not None
    ]
    own = {"hidfd": "hidfd", "degan": "hidfd", "arvi": "arvi"}
    first = own.get(method, "dfad")
    found.sort(key=lambda system: (system.paper != first, system.paper))
    return found[0] if found else None


# %% tags=["hide-input", "verdict"] mystnb={"code_prompt_show": "Show how the verdict is computed"}
by_paper = {
    m: printed(m, "mnist", "lenet5-lenet5_half")
    for m in ("kd_ori", "random", "dfad")
}
of_original = records.difference(digits["kd_ori"], digits["kd_unr"], 8)
of_noise = records.difference(digits["kd_unr"], digits["random"], 8)
related = records.difference(digits["kd_rel"], digits["kd_unr"], 8)
assert of_original.resolved and of_noise.resolved
assert not related.resolved
lost = records.mean_interval(digits["kd_ori"], "accuracy_last")
lost = digits["kd_ori"][0]["teacher_accuracy"] - lost[0], lost[1]
seconds = [r["seconds"] for m in KINDS for r in digits[m]]
pflop = run.schedule_flop(recipe_for("digits", "kd_ori")) / 1e15
student, on_noise, on_original = (
    by_paper[m].figure for m in ("dfad", "random", "kd_ori")
)
top = by_paper["dfad"].teacher_figure
minutes = 3 * np.median(seconds) / 60 + 0.3
pictures.Markdown(f"""**Verdict**

- **Claimed.** By DFAD's Table 2, an MNIST student reaches {student} %
  on generated images, {on_noise} % on noise and {on_original} % on the
  original images; the teacher has {top} %.
- **Proved.** Agreement with the teacher on the images shown carries
  over to other images up to the total variation distance of the two
  distributions, and no further. For images that do not overlap with
  the teacher's data, nothing is guaranteed.
- **Measured.** On digits, a student of the original images loses
  {lost[0]:.2f} ± {lost[1]:.2f} points to its teacher (n = 5, 95 % CI).
  Original minus unrelated images: {of_original}.
  Unrelated images minus noise: {of_noise}.
- **Open.** Which property makes images right? Related minus unrelated
  images: {related}.

Reading time 12 minutes. Run time about {minutes:.0f} minute on one CPU
thread; three runs of {pflop:.6f} PFLOP each.""")

# %% [markdown]
# Distillation is due to {cite:t}`hinton2015distilling`; the comparison of image sources is Table 2 of {cite:t}`fang2019dfad` (DFAD). [](sec-found-evaluation) explains the form of a verdict. Proofs about temperature, statistics and FLOP counts are in the companion, {doc}`more/foundations`.
#
# (sec-found-problem)=
# ## Teacher, student, images
#
# You have a trained network $T$, the *teacher*, and want a smaller network $S$, the *student*, that gives the same answers. Show both networks the same images and train the student on the teacher's answers instead of labels. This is **distillation**. A method without data has to produce the images as well. The methods of this book train a generator for this purpose.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-found-game", "caption": "Distillation is the right-hand side: teacher and student see the same images, and the student reduces the gap between their answers. In distillation with data, the images come from a data set; in the adversarial methods, a generator draws them. Chapters 1 to 4 change one part of this picture each."}, "image": {"alt": "Diagram of distillation without data. Noise enters a generator, whose images go to a fixed teacher and to a student. The two answers are compared; the student is trained to reduce the gap and the generator to increase it."}}
pictures.game_diagram("dfad")
plt.show()

# %% [markdown]
# An answer is a vector of $C$ numbers, the **logits** $T(x)$. A softmax with *temperature* $\tau$ turns them into probabilities:
#
# $$
# p_T^\tau(x)_c = \frac{\exp\big(T(x)_c/\tau\big)}{\sum_{k=1}^{C} \exp\big(T(x)_k/\tau\big)} , \qquad p_T = p_T^1 .
# $$ (eq-found-softmax)

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-found-answers", "caption": "For six classes, the test image of which the teacher is least sure, and its probabilities at three temperatures. At τ = 4 the classes that the image resembles become visible; at τ = 20 all bars are nearly equal, but their order remains. A label contains only the tallest bar."}, "image": {"alt": "Six handwritten digits, one of each class from 0 to 5, side by side. Below each, three bar charts of the teacher's probabilities for the ten classes, at temperatures 1, 4 and 20. At 1 only a few bars are visible; at 4 the other classes appear; at 20 all ten bars are nearly equal."}}
network_T = trained.network.to(settings.device)
test = TestSet.of(data, network_T, settings.device)
logits_T = test.teacher_logits.double().cpu().numpy()
sure = softmax(logits_T, 1).max(1)
chosen = [
    int(np.where(data.y_test == c, sure, 2).argmin())
    for c in range(min(6, data.num_classes))
]
_, axes = plt.subplots(4, len(chosen), figsize=(6.4, 5), sharey="row")
for column, index in zip(axes.T, chosen, strict=True):
    image = data.x_test[index].mean(2)
    column[0].imshow(image, cmap="gray", interpolation="nearest")
    column[0].set_axis_off()
    for k, (ax, tau) in enumerate(
        zip(column[1:], (1, 4, 20), strict=True)
    ):
        p = softmax(logits_T[index] / tau)
        ax.bar(np.arange(len(p)), p, color=pictures.COLOURS[k])
        ax.set(ylim=(0, 1.02), xticks=np.arange(0, len(p), 3))
        ax.tick_params(labelsize=8)
for ax, tau in zip(axes[1:, 0], (1, 4, 20), strict=True):
    ax.set_ylabel(f"probability\nat τ = {tau}", fontsize=8)
plt.gcf().supxlabel("class", fontsize=9)
plt.show()

# %% [markdown]
# (sec-found-loss)=
# ## The distillation loss
#
# Write $H(p, q) = -\sum_c p_c \log q_c$ for the cross-entropy and $H(p) = H(p, p)$. Cross-entropy with the teacher's probabilities and the Kullback–Leibler divergence differ by a constant of the teacher:
#
# $$
# H(p_T, p_S) = \KL(p_T \Vert p_S) + H(p_T) .
# $$ (eq-found-identity)
#
# Both have the same gradient in the student. KL is zero exactly where the student agrees, so this book reports KL. {cite:t}`hinton2015distilling` soften both networks and multiply by $\tau^2$:
#
# $$
# \mathcal L_\tau = \tau^2\, \KL\big(p_T^\tau(x) \,\Vert\, p_S^\tau(x)\big) .
# $$ (eq-found-kd)

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the call"}
pictures.source(losses.kl, losses.kd)

# %% [markdown]
# The next cell checks {eq}`eq-found-identity` on random logits, and the library's {eq}`eq-found-kd` against the formula.

# %%
rng = np.random.default_rng(0)
t, s = 3 * rng.normal(size=(2, 5, 10))  # logits: 5 images, 10 classes

p, q = softmax(t, 1), softmax(s, 1)
cross = -(p * np.log(q)).sum(1)
divergence = (p * np.log(p / q)).sum(1)
entropy = -(p * np.log(p)).sum(1)
gap = np.abs(cross - divergence - entropy).max()
print(f"cross-entropy − KL − entropy: {gap:.0e}")
assert gap < 1e-12

p, q = softmax(t / 4, 1), softmax(s / 4, 1)
by_hand = 4**2 * (p * np.log(p / q)).sum(1).mean()
by_library = losses.kd(torch.tensor(t), torch.tensor(s), 4.0).item()
print(f"loss by hand {by_hand:.10f}, by the library {by_library:.10f}")
assert abs(by_hand - by_library) < 1e-12

# %% [markdown]
# The gradient of {eq}`eq-found-kd` in the student's logits is $\tau$ times the difference of the probabilities. As $\tau \to \infty$ it becomes the gradient of a squared error of centred logits, {prf:ref}`thm-found-temperature`. DFAD compares logits and MAD compares probabilities: they are two ends of one scale. The baselines here use $\tau = 1$.
#
# The whole method, as the library runs it: draw images, ask the teacher, update the student.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the call"}
pictures.source(methods.KD.stage, methods.KD.learn)

# %% [markdown]
# Every method of this book has a function `stage` of this form. They differ in how they obtain `x` and in which terms they add.
#
# (sec-found-data)=
# ## What is lost without data
#
# DFAD's Table 2 compares four sources of images: the **original** training images (KD-ORI), images of a **related** source (KD-REL), images of an **unrelated** source (KD-UNR), and **noise** (RANDOM). Teacher, student and loss stay the same. Which of these students must resemble the teacher on the original data?
#
# Let $Q$ be the distribution of the images shown and $P$ that of the images that matter. Let $c_T(x)$ and $c_S(x)$ be the classes that the networks predict.

# %% [markdown]
# ```{prf:theorem} Agreement carries over up to the total variation distance
# :label: thm-found-transfer
# For any teacher, any student and any distributions $P$, $Q$,
#
# $$
# \Pr_{x \sim P}\big(c_S(x) \ne c_T(x)\big) \ \le\ \Pr_{x \sim Q}\big(c_S(x) \ne c_T(x)\big) + \tvd(P, Q) ,
# $$ (eq-found-transfer)
#
# and the student's accuracy on $P$ is below the teacher's by at most the left side. No smaller constant than $\tvd(P, Q)$ will do: some student attains equality.
# ```
#
# ```{prf:proof}
# :class: dropdown
# Let $A$ be the set on which the two networks differ. Then $P(A) - Q(A) \le \sup_B |P(B) - Q(B)| = \tvd(P, Q)$. An image that the teacher classifies correctly and the student does not is in $A$; this gives the statement on accuracy. For equality take $B = \{x : p(x) > q(x)\}$ with densities $p$, $q$ and a student that differs from the teacher exactly on $B$: then $P(B) - Q(B) = \tvd(P, Q)$.
# ```
#
# If the images shown have the distribution of the original images, the second term is zero and the claim holds. Noise and handwriting hardly overlap, so that their distance is close to one and the bound says nothing. The next cell checks both statements on random distributions with `theory.tvd`.

# %%
rng = np.random.default_rng(0)
P, Q = rng.dirichlet(np.ones(50), size=(2, 2000))  # on 50 points
distance = theory.tvd(P, Q)  # (2000,)
differs = rng.random((2000, 50)) < 0.3  # where S is not T
excess = (P * differs).sum(1) - (Q * differs).sum(1)
worst = (P * (P > Q)).sum(1) - (Q * (P > Q)).sum(1)
print(
    f"random students: P(A) − Q(A) − TVD ≤ {(excess - distance).max():.3f}"
)
print(
    f"worst student: {np.abs(worst - distance).max():.0e} from equality"
)
assert (excess <= distance).all()
assert np.allclose(worst, distance)

# %% [markdown]
# The theorem bounds the worst student. What does a *trained* student do? Train three of them and compare each with the teacher on every source.
#
# (sec-found-run)=
# ## The run: three sources, one teacher
#
# Each student makes the same number of updates on batches of the same size, with the same initial weights. The unrelated images are those that this machine has: Tiny ImageNet, or pieces of two photographs that are embedded.

# %% tags=["nbval-ignore-output"]
own, runs = recipe.values(), {}
for name in ("kd_ori", "kd_unr", "random"):
    other = recipe_for(
        settings.dataset, name, recipe.teacher, recipe.student
    )
    common = {n: own[n] for n in other.values() if n in own}
    try:
        runs[name] = run.run(
            other.replace(**common), data, trained, seed=settings.seed,
            device=settings.device, precision=settings.precision,
            report=max(recipe.settings.stages // 2, 1),
        )  # fmt: skip
    except UserError as error:  # no unrelated images for this data
        print(f"{name}: {error}")

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-found-samples", "caption": "Eight images of each source, with the class that the teacher predicts and its probability. The teacher has to answer with a digit whatever it sees. On the test images its answers are certain; on photographs and noise they are less certain and still vary from image to image, so they carry information."}, "image": {"alt": "Three rows of eight images: handwritten digits, pieces of photographs, and white noise. Above each image is the digit that the teacher predicts, with its probability. Digits get their own class with high probability; the other images get various classes with lower probabilities."}}
draw = torch.Generator().manual_seed(settings.seed)
shown = {"kd_ori": test.x.batch(torch.arange(len(test.y)))}
if "kd_unr" in runs:
    pool = runs["kd_unr"].state.task.images
    index = torch.randperm(len(pool), generator=draw)[:2000]
    shown["kd_unr"] = pool.batch(index.to(settings.device))
size = 2000, *shown["kd_ori"].shape[1:]
noise = torch.randn(size, generator=draw)
shown["random"] = noise.to(settings.device)
names = {m: KINDS[m] for m in shown} | {"kd_ori": "test images"}

_, axes = plt.subplots(
    len(shown), 8, figsize=(6.4, 1.05 * len(shown)), squeeze=False
)
for row, (name, x) in zip(axes, shown.items(), strict=True):
    probability, label = logits_of(network_T, x[:8]).softmax(1).max(1)
    for ax, image, p, c in zip(
        row, x[:8], probability, label, strict=True
    ):
        ax.imshow(image.float().mean(0).cpu(), cmap="gray")
        ax.set_title(f"{c}: {100 * p:.0f} %", fontsize=8)
        ax.set_axis_off()
    where = {"ha": "right", "va": "center", "fontsize": 8}
    place = row[0].transAxes
    text = names[name].replace(" ", "\n")
    row[0].text(-0.1, 0.5, text, transform=place, **where)
plt.show()

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-found-agreement", "caption": "Agreement with the teacher (one seed), for three students, on three sources. The theorem guarantees nothing away from a student's own images. The noise student nevertheless agrees with the teacher on most test images, more often than on the noise it was trained on; the other two agree much less with it away from their own and the test images. What carries over is a property of the networks. The test images were not shown to any student; 2,000 images of each of the other sources."}, "image": {"alt": "Agreement in per cent for three students on the horizontal axis: those of original images, of unrelated images and of noise. Three markers each, for test images, unrelated images and noise. Test images are highest or level with the student's own images, and the noise student agrees with the teacher on more test images than noise images."}}
agrees = {
    name: [
        100
        * (logits_of(r.student, x).argmax(1) == c_T)
        .double()
        .mean()
        .item()
        for r in runs.values()
    ]
    for name, x in shown.items()
    for c_T in [logits_of(network_T, x).argmax(1)]
}
ax = plt.figure(figsize=(6.4, 3)).add_subplot()
for k, (name, values) in enumerate(agrees.items()):
    at = np.arange(len(values)) + 0.12 * (k - 1)
    look = {"marker": pictures.MARKERS[k], "s": 60}
    ax.scatter(at, values, label=f"on {names[name]}", **look)
ax.set(ylabel="agreement with the teacher (%)", ylim=(0, 102))
ax.set(xlabel="student of", xlim=(-0.5, len(runs) - 0.5))
ax.set_xticks(range(len(runs)), [KINDS[m] for m in runs])
ax.legend(loc="lower left", fontsize=8)
plt.show()

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-found-curves", "caption": "Test accuracy over the stages for the four sources; means of five seeds and their range, from records of digits. Students of original images arrive first and end closest to the teacher. Students of noise start late and end lowest, far above guessing."}, "image": {"alt": "Test accuracy over 160 stages for students of four kinds of images: the mean of five seeds and their range, and the teacher as a labelled dashed line. Original images arrive at the teacher first, unrelated and related images follow and end a little below, and noise is the slowest and ends clearly lowest."}}
if settings.recorded:
    groups = {
        KINDS[m]: [r["history"] for r in digits[m]] for m in KINDS
    }
else:
    groups = {KINDS[m]: [r.history.asdict()] for m, r in runs.items()}
ax = pictures.curves(groups, "accuracy", y_label="test accuracy (%)")
ax.axhline(
    trained.accuracy, color=pictures.COLOURS[6],
    linestyle="--", linewidth=1, label="teacher",
)  # fmt: skip
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# (sec-found-paper)=
# ## Ours beside the paper's
#
# DFAD's Table 2 reports the *best* accuracy of a run, as mean and standard deviation over five runs. We report the *final* accuracy, as mean ± half a 95 % interval. The teachers differ, so the table compares the points that a student loses to its own teacher. Our short schedule has a fifth of the paper's updates; the last two columns are single runs at its full schedule.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
pair = "lenet5-lenet5_half"
rows = []
for m, name in KINDS.items():
    theirs = printed(m, "mnist", pair)
    short = records.mean_interval(mnist[m], "accuracy_last")
    (full,) = records.arm("paper", m, "mnist")
    top = mnist[m][0]["teacher_accuracy"]
    images = mnist[m][0].get("images") or {}
    rows.append(
        [
            name,
            images.get("source", "white noise").replace("_", " "),
            f"{theirs.teacher_figure - theirs.figure}",
            f"{top - short[0]:.2f} ± {short[1]:.2f}",
            len(mnist[m]),
            f"{top - full['accuracy_last']:.2f}",
            f"{top - full['accuracy_best']:.2f}",
        ]
    )
pictures.table(
    ["student of", "our source", "paper: lost, best"]
    + ["ours: lost, final", "n", "full: final", "full: best"],
    rows,
    caption="Points lost to the teacher on MNIST, LeNet-5 to half of "
    "it, by DFAD's Table 2 and by our records.",
    texts=2,
)

# %% [markdown]
# Original images cost little in both columns. In the other rows our students lose more, also at the full schedule, except for unrelated images. The largest gap is that of noise: the paper gives neither the distribution of its noise nor the training time of that row. It does not name the sources of related and unrelated images for classification either, {ref}`so these rows cannot be repeated exactly <sec-found-frame>`.
#
# ## Accuracy against compute on CIFAR
#
# On colour images all methods of this book run at the same number of floating-point operations. {numref}`fig-dfad-ladder` in {doc}`01_dfad` shows the runs that exist, among them one on the original images; `make nightly` makes the others.

# %% [markdown]
# (sec-found-control)=
# ## Only the images change
#
# Is the difference due to the images? In the records of the figure, teacher, loss, updates, batch and initial student are equal seed by seed, and only the images differ. Four differences on each of two data sets make eight comparisons; the figure shows those on digits.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-found-sources", "caption": "Paired differences of final accuracy on digits between two sources of images. Bars with caps are 95 % intervals; the lines without caps are the intervals by which a difference is judged, at the Bonferroni level of eight comparisons. Photographs teach more than noise, and original images more than photographs. Related images do not teach measurably more than unrelated ones. n = 5 seeds; the table has MNIST as well."}, "image": {"alt": "Four horizontal intervals of differences of accuracy in points on digits. Unrelated images minus noise lies far to the right of zero. Original minus unrelated images is right of zero as well. The two intervals with related images are wide, and their longer versions contain zero."}}
PAIRS = (
    ("kd_ori", "kd_rel"),
    ("kd_ori", "kd_unr"),
    ("kd_rel", "kd_unr"),
    ("kd_unr", "random"),
)
compared = {
    f"{where}: {KINDS[a].split()[0]} − {KINDS[b].split()[0]}": (
        group[a],
        group[b],
    )
    for where, group in (("digits", digits), ("MNIST", mnist))
    for a, b in PAIRS
}
on_digits = dict(list(compared.items())[:4])
found = {
    name: records.difference(a, b, 8)
    for name, (a, b) in on_digits.items()
}
ax = pictures.intervals(
    {name: d[:2] for name, d in found.items()},
    x_label="difference of final accuracies (points)",
    zero=True,
)
for k, gap in enumerate(found.values()):
    ends = gap.mean - gap.wide, gap.mean + gap.wide
    ax.hlines(-k, *ends, pictures.COLOURS[1], lw=1)
plt.show()

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
judged = {
    name: records.difference(a, b, 8)
    for name, (a, b) in compared.items()
}
resolved = [n for n, gap in judged.items() if gap.resolved]
assert [n.split(": ")[1] for n in resolved] == [
    "original − unrelated",
    "unrelated − noise",
    "unrelated − noise",
]
pictures.table(
    ["comparison", "verdict"],
    judged.items(),
    caption="The eight comparisons, each in the form of a verdict.",
    texts=2,
)

# %% [markdown]
# The name of a source does not decide what it teaches. The teacher's answers do: they must differ from image to image, and the student must be able to reproduce them. In the companion, a wide enough margin around the *original* digits {ref}`makes the teacher's answers nearly constant <sec-found-frame>`: even the right images can be made uninformative.
#
# ```{admonition} Provenance of the records
# :class: note, dropdown
# Digits: `results/foundations.jsonl`, related images from MNIST, unrelated ones from Tiny ImageNet at 32 × 32. MNIST: `results/mnist.jsonl`, related images from USPS. Within one data set, all runs ran on one kind of processor. Each record has the hash of its images.
# ```
#
# (sec-found-choices)=
# ## Five choices describe a method
#
# A data-free method decides how to replace the missing images. Five choices describe it: the discrepancy between teacher and student, what else the generator minimises, where the student's samples come from, what the generator is given, and whether images are kept. The rows come from the library's classes.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
YEARS = {
    "kd_ori": 2015, "kd_rel": 2019, "kd_unr": 2019, "random": 2019,
    "fitnet": 2015, "at": 2017, "ft": 2018, "dafl": 2019,
    "deepinversion": 2020, "dfad": 2019, "arvi": 2021, "abm": 2019,
    "dfkd_mem": 2022, "mad": 2022, "degan": 2020, "kd_collected": 2025,
    "hidfd": 2025, "alone": "–", "zskt": 2019, "dfq": 2020,
    "cmi": 2021, "fast": 2022, "spaceshipnet": 2023, "nayer": 2024,
    "dfnd": 2021, "kd3": 2023, "pre": 2022,
    "composed": "ours",
}  # fmt: skip
DATA = {None: "none", "collected": "few, collected"}
rows = []
for name, year in YEARS.items():
    kind = methods.METHODS[name]
    real = DATA.get(kind.data, kind.data)
    rows.append([NAMES[name], year, real, *kind.choices])
pictures.table(
    ["method", "year", "real images", "discrepancy"]
    + ["generator also minimises", "student's samples", "G is given"]
    + ["images kept"],
    rows,
    caption="The field in five choices. EMA(G): an average of past "
    "generators; BNmm, BN: BatchNorm statistics; R_l, R_m: one-hot "
    "and activation terms.",
    texts=8,
)

# %% [markdown]
# All of these methods repeat one stage: the generator learns, then the student. {numref}`fig-found-stage` shows the stages of the four adversarial methods on CIFAR-100.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-found-stage", "caption": "One stage of each adversarial method by its recipe on CIFAR-100; a bar is one update on a batch of 256. AR+VI's numbers are inferred from DFAD, those of ABM and MAD from tables without headings. MAD and ABM train the student twelve times as long in a stage, and MAD shows it a second batch, of the EMA generator, at every update. HiDFD has no such stage: it trains its GAN first, then the student."}, "image": {"alt": "Four rows of bars over the updates of a stage. DFAD and AR+VI have one bar of the generator and five of the student. ABM has three bars of the generator and sixty of the student. MAD has the same, with a short mark for the update of the average, and each bar of its student is split in two colours."}}
ax = plt.figure(figsize=(6.4, 2.4)).add_subplot()
game = ("dfad", "arvi", "abm", "mad")
blue, orange, green = pictures.COLOURS[:3]
for k, name in enumerate(game):
    pair = () if name in ("dfad", "arvi") else ("wrn40_2", "wrn16_2")
    m = recipe_for("cifar100", name, *pair).settings
    n_g, n_s = m.generator_steps, m.student_steps
    parts = [(0, n_g, -k - 0.35, 0.7, orange, "generator")]
    if name == "mad":
        parts += [(n_g, n_s, -k - 0.35, 0.35, green, "student, EMA(G)")]
        parts += [(n_g, n_s, -k, 0.35, blue, "student, G")]
    else:
        parts += [(n_g, n_s, -k - 0.35, 0.7, blue, "student, G")]
    for start, count, low, height, colour, label in parts:
        ax.broken_barh(
            [(start + i, 0.8) for i in range(count)],
            (low, height),
            color=colour,
            label=label if name == "mad" else None,
        )
ax.set_yticks([-k for k in range(4)], [NAMES[name] for name in game])
ax.set(xlabel="updates of a stage", xlim=(0, 64), ylim=(-3.6, 1.1))
ax.grid(visible=False)
ax.legend(ncols=3, loc="upper right", fontsize="small")
plt.show()

# %% [markdown]
# *Terms in the table, and the chapters that explain them.*
#
# | term | meaning | chapter |
# |---|---|---|
# | game, stage | a generator $G$ draws images on which student and teacher disagree, and the student learns to agree; one round of updates of both | {doc}`1 <01_dfad>` |
# | $z$, $e_y$ | the generator's random input; an embedding of the class $y$ that it should draw | {doc}`1 <01_dfad>`, {doc}`3 <03_mad>` |
# | MAE | mean absolute error of logits | {doc}`1 <01_dfad>` |
# | one-hot, activation, information entropy | DAFL's terms: a certain teacher, large features, all classes equally often | {doc}`2 <02_arvi>` |
# | mixtures | averages of two generated images, labelled by averages of the teacher's answers | {doc}`2 <02_arvi>` |
# | BNmm | the generator matches the means and variances stored in the teacher's BatchNorm layers | {doc}`3 <03_mad>` |
# | NLL, norm | the teacher recognises the class given to $G$; the class embedding stays short | {doc}`3 <03_mad>` |
# | GAN and class losses, L_reg | images that a discriminator takes for collected ones, of the class asked for, with all classes balanced | {doc}`4 <04_hidfd>` |
#
# Read the table by differences. AR+VI changes the second and third choice of DFAD, so its gain has to be taken apart. MAD and DFKD-Mem differ from ABM in the samples alone, which makes [](sec-mad-controls) possible. DAFL has a generator and no adversary: its generator never sees the student. HiDFD and DeGAN train a GAN on collected images first.
#
# The figures of the papers, as printed, beside ours:

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
MORE = {"hidfd": {}, "degan": {"student_lr": 0.03}}
MORE["kd_collected"] = MORE["degan"]


def ours(m):
    """Records on MNIST at the short schedule, if there are any."""
    place = "hidfd" if m in MORE else "mnist"
    try:
        return records.arm(place, m, "mnist", **MORE.get(m, {}))
    except UserError:
        return []


def losses_of(system):
    """Student, and what it loses to its teacher."""
    if system is None:
        return ["–", "–"]
    return [system.figure, system.teacher_figure - system.figure]


WRN = "wrn40_2-wrn16_2"
rows = []
for m in [*YEARS][:-1]:  # composed is printed nowhere
    made, mine = ours(m), ["not run", "–"]
    if made:
        mean, half = records.mean_interval(made, "accuracy_last")
        top = made[0]["teacher_accuracy"]
        mine = [f"{top - mean:.2f} ± {half:.2f}", len(made)]
    cifar = losses_of(printed(m, "cifar100"))
    cifar += losses_of(printed(m, "cifar100", WRN))
    grey = losses_of(printed(m, "mnist", pair))
    rows.append([NAMES[m], *cifar, grey[1], *mine])
# Fast's are printed by its paper, NAYER's read off its repository's plot
elsewhere = {
    NAMES["fast"]: ["74.34", "3.71", "65.12", "10.71"],
    NAMES["nayer"]: ["–", "–", "about 71.7", "4.1"],
}
rows = [
    [row[0], *elsewhere.get(row[0], row[1:5]), *row[5:]] for row in rows
]
pictures.table(
    ["method", "ResNet-34 → 18 (%)", "lost", "WRN-40-2 → 16-2 (%)"]
    + ["lost", "MNIST: lost", "ours, MNIST: lost", "n"],
    rows,
    caption="Accuracy on CIFAR-100 as printed for two pairs, and "
    "points lost to the teacher there and on MNIST (LeNet-5 to half "
    "of it). Ours: final accuracy at a short schedule, 95 % "
    "intervals.",
)

# %% [markdown]
# The figures of DAFL and DFAD are those of DFAD's table; MAD's table has 74.47 and 69.43 for ResNet-18. NAYER's is read off a plot of its repository. The rows of HiDFD and DeGAN are those with one collected image for ten of the teacher's. Figures of one column come from papers with different teachers. With ResNet-18, MAD has a higher accuracy than CMI and loses more points, because its teacher is half a point better. {doc}`08_scoreboard` lists all systems.
#
# (sec-found-evaluation)=
# ## How this book measures
#
# **Final accuracy.** The best test of a run cannot be picked without test data, and it is biased upward, and more so the more often a student is tested: {prf:ref}`thm-found-best`. We report the accuracy after the last step and keep the best beside it, because the papers report the best.
#
# **Points lost to the teacher.** A student of a better teacher starts ahead. Tables give the teacher's accuracy or the difference.
#
# **Agreement and KL.** The fraction of test images on which student and teacher predict the same class, and the mean of $\KL(p_T \Vert p_S)$ in nats. Both need no labels.
#
# **Cost.** The FLOP of the whole run: every pass through every network, counted by torch. Seconds and hardware are given beside it. The papers' "FLOPs" column is another quantity, {ref}`the price of using the student <sec-found-flops>`.
#
# (sec-found-seeds)=
# ### Paired differences, intervals and verdicts
#
# Equal seeds have equal initial students and, where there is one, equal initial generators. So two methods $a$ and $b$ are compared seed by seed: with the differences $d_i = a_i - b_i$, their mean $\bar d$ and standard deviation $s$ over $n$ seeds, the interval is
#
# $$
# \bar d \pm t_{0.975,\, n-1}\; \frac{s}{\sqrt n} .
# $$ (eq-found-t)

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the call"}
pictures.source(records.paired, theory.mean_interval)

# %% [markdown]
# Where seeds cannot be paired, because two configurations ran with different seeds or networks, `records.welch` gives Welch's interval of the difference of means. Whether two intervals overlap decides nothing.
#
# A verdict then has one form, here that of original minus related images on digits:

# %%
print(records.difference(digits["kd_ori"], digits["kd_rel"], of=8))

# %% [markdown]
# - **Δ** is the mean paired difference of final accuracies, in points.
# - **95 % CI** is the interval {eq}`eq-found-t` of this one difference.
# - **n** is the number of seeds that both have.
# - **1 of 8 comparisons** is the number of differences that the same figure or table tests. Each has a chance of 5 % to exclude zero although there is no difference; eight of them, if independent, have a chance of about a third.
# - **resolved** means that zero lies outside the interval at the level $1 - 0.05/m$ for $m$ comparisons, the Bonferroni level. So a 95 % interval may exclude zero and the verdict still be *not resolved*, as here.
#
# *Not resolved* does not mean "no difference": the interval's ends give the differences that remain possible. It covers the spread over seeds, not the choice of test images. {ref}`The companion <sec-found-power>` computes how many seeds and images a difference takes: in our records, half a point takes dozens of seeds.
#
# (sec-found-summary)=
# ## Summary
#
# - Distillation trains a student on a teacher's answers; KL to the teacher's probabilities is the loss, and $\tau$ leads from probabilities to logits.
# - Agreement on the images shown carries over up to the total variation distance. On images that do not overlap with the original ones, what carries over is a property of the networks, not of the loss.
# - On digits and on MNIST, students of original images lose least and students of noise lose most. Related images do not teach measurably more than unrelated ones.
# - Five choices describe a data-free method. Compare methods that differ in one of them.
# - A number needs its teacher, its seeds, its interval and the number of comparisons before it can be set beside another.
#
# (sec-found-reproduce)=
# ## Reproduce it

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
asked = {"digits": digits, "MNIST": mnist}
rows = []
for where, group in asked.items():
    one = group["kd_ori"][0]
    made = recipe_for(one["dataset"], "kd_ori", paper="ours")
    m = made.settings
    spent = np.median([r["seconds"] for k in group.values() for r in k])
    rows.append(
        [
            f"{where}, {one['pair']}",
            f"{m.stages * m.student_steps:,} × {m.student_batch}",
            f"{m.student_optimizer} {m.student_lr:g}, {m.schedule}",
            f"{run.schedule_flop(made) / 1e15:.6f}",
            f"{spent / 3600:.4f}",
            one["hardware"],
        ]
    )
pictures.table(
    ["data, pair", "updates × batch", "optimiser, rate, schedule"]
    + ["PFLOP a run", "hours", "processor, one thread"],
    rows,
    caption="Recipe and cost of one run; hours are the median over "
    "the four sources and all seeds.",
    texts=3,
)

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show how the command is read from its record"}
print(digits["kd_ori"][0]["command"])

# %% [markdown]
# Replace the method by `kd_rel`, `kd_unr` or `random` for the other sources, and the data set by `mnist`. The records are in `results/foundations.jsonl`, `results/mnist.jsonl` and, at the paper's schedule, `results/paper.jsonl`.
#
# (sec-found-deviations)=
# ## Deviations
#
# 1. **Data** (ours). Digits and MNIST; DFAD has CIFAR-10, CIFAR-100 and Caltech101 as well.
# 2. **Sources of related and unrelated images** (ours). The part of DFAD's text that we have does not name them for classification. Ours are listed in `dfkd_lib/data/collected.py`, and each record names its source.
# 3. **Noise** (ours). Every pixel is standard normal in the normalised input space, fresh at every step.
# 4. **Loss of the baselines** (ours). $\tau = 1$, no labels; the paper calls it "vanilla KD" without a temperature.
# 5. **Schedule** (ours). Equal updates and batches for all sources, drawn with replacement; a fifth of DFAD's updates on MNIST.
# 6. **Final accuracy** (ours), where the paper has the best; intervals where the paper has standard deviations.
#
# (sec-found-exercises)=
# ## Exercises
#
# ```{exercise}
# :label: ex-found-predict
# Predict before you compute: shift the teacher's test images by half their width, so that each digit is cut and its halves change places. Will the student of the original images or the student of noise agree more often with the teacher on them?
# ```

# %% tags=["hide-cell", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the solution's numbers"}
x = shown["kd_ori"].roll(shown["kd_ori"].shape[-1] // 2, dims=-1)
c_T = logits_of(network_T, x).argmax(1)
for name, r in runs.items():
    same = (logits_of(r.student, x).argmax(1) == c_T).double().mean()
    print(f"student of {KINDS[name]}: {100 * same:.0f} %")

# %% [markdown]
# ```{solution} ex-found-predict
# :class: dropdown
# The cell above has the numbers of one seed. In the stored run, the student of noise agrees with the teacher more often than the student of original images, although it is worse on whole digits ({numref}`fig-found-agreement`). {prf:ref}`thm-found-transfer` guarantees nothing for either. A possible reason is that whole digits can be distinguished by few features, so that their student learns fewer of the teacher's. One seed does not prove it.
# ```
#
# ```{exercise}
# :label: ex-found-look
# Two methods are equally good. Tests of a student scatter by 0.3 points around its true accuracy, independently. Method A is tested after each of 500 epochs and reports the best; method B is tested once. How far ahead is A? How far, if any two tests have correlation 0.5, because they use the same test images?
# ```

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show the solution's numbers"}
for rho in (0.0, 0.5):
    ahead = 0.3 * theory.best_of(500, rho)
    print(f"correlation {rho}: A is ahead by {ahead:.2f} points")

# %% [markdown]
# ```{solution} ex-found-look
# :class: dropdown
# By {eq}`eq-found-best`, $0.3\, e_{500}$ and $0.3\sqrt{0.5}\, e_{500}$; $e_1 = 0$. That is nine tenths of a point, and somewhat more than six tenths. Tests of neighbouring epochs are also correlated because the student is nearly the same, which lowers the lead further.
# ```
#
# ```{exercise}
# :label: ex-found-table
# DFAD's Table 2 has, on MNIST, 98.3 ± 0.2 for DFAD and 98.1 ± 0.1 for DAFL: means and standard deviations over five runs each. Is DFAD ahead? The runs are not paired, so use Welch's interval.
# ```

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show the solution's numbers"}
variances = np.array([0.2, 0.1]) ** 2 / 5
degrees = variances.sum() ** 2 / (variances**2 / 4).sum()
half = stats.t.ppf(0.975, degrees) * math.sqrt(variances.sum())
print(f"{degrees:.1f} degrees of freedom: 0.20 ± {half:.2f} points")
one = 1.96 * math.sqrt(98.2 * 1.8 / 10_000)
print(f"98.2 % on 10,000 images: ± {one:.2f} points")

# %% [markdown]
# ```{solution} ex-found-table
# :class: dropdown
# The standard error of the difference is $\sqrt{(0.2^2 + 0.1^2)/5} = 0.1$. Welch's formula gives about 5.9 degrees of freedom, a quantile of 2.46, and an interval of 0.2 ± 0.25, which contains zero: not resolved. A single accuracy of 98.2 % on 10,000 images is uncertain by ± 0.26 points besides, and both figures are the best of a run.
# ```
