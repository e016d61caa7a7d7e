# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Dense prediction
#
# {cite:t}`fang2019dfad` claim that DFAD also distils a segmentation network, which labels every pixel, and that its generator learns which classes occur together in a scene.

# %% tags=["remove-cell"]
if "google.colab" in str(globals().get("get_ipython", str)()): get_ipython().run_line_magic("pip", "install -q dfkd_lib==0.2.0")  # fmt: skip

# %% tags=["parameters"]
dataset: str = "scenes"  # or camvid, nyuv2, your own label maps
teacher: str = "auto"  # deeplabv3_resnet50, FILE:NETWORK, ...
student: str = "auto"  # deeplabv3_mobilenetv2, ...; auto: recipe's
seed: int = 0  # of the run on this page
budget: str = "auto"  # auto, full, short, stages, or FLOP as 0.2PF
device: str = "auto"  # cpu or cuda; auto: a GPU if there is one
precision: str = "auto"  # float32, bfloat16 or auto
overrides: str = ""  # of the recipe, as with --set of `dfkd_lib.run`
output_dir: str = "output"  # a folder, from the checkout's

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the set-up", "code_prompt_hide": "Hide the set-up"}
from dfkd_lib import prepare

settings, data, trained, recipe = prepare(globals(), "dfad")

import itertools
import os

import matplotlib.pyplot as plt
import numpy as np
import torch

from dfkd_lib import losses, methods, records, run
from dfkd_lib.data import VOID, Images
from dfkd_lib.lab import papers, pictures, scoreboard
from dfkd_lib.teachers import confusion, miou


def runs_of(experiment, method, dataset):
    """Records of any number of stages; none while they are queued."""
    try:
        made = records.load_records(
            experiment, method=method, dataset=dataset
        )
    except records.UserError:
        return []
    return [r for r in made if {*r["changes"]} <= {"stages"}]


def scenes(method, **changes):
    return records.arm("scenes", method, "scenes", **changes)


def mean(group):
    """Mean mIoU over seeds ± half of its 95 % interval."""
    if not group:
        return "–"
    value, half = records.mean_interval(group, "miou_last")
    return f"{value:.1f}" + (f" ± {half:.1f}" if len(group) > 1 else "")


def against(group, other, of):
    return records.difference(group, other, of, "miou_last")


def coloured(maps):
    """Label maps (n, h, w) as colours; class 0 is grey, void white."""
    table = plt.get_cmap("tab20")(np.arange(256) % 20)[:, :3]
    table[0], table[VOID] = 0.75, 1.0
    return table[np.asarray(maps)]


COMPARED = 6  # comparisons on this page
game = scenes("dfad")
controls = {
    "the game's generator, then fixed": scenes(
        "dfad", stages=400, generator_share=0.5
    ),
    "a generator that never learned": scenes("dfad", generator_lr=0.0),
    "white noise": scenes("random"),
    "photographs of rooms": scenes("kd_unr"),
    "MAE as the generator's loss": scenes(
        "dfad", generator_loss="discrepancy"
    ),
}
found = {
    name: against(game, group, COMPARED)
    for name, group in controls.items()
}

# %% tags=["verdict", "hide-input"] mystnb={"code_prompt_show": "Show the code of the verdict"}
claim = next(
    s
    for s in papers.SYSTEMS
    if (s.paper, s.dataset, s.name) == ("dfad", "camvid", "Ours")
)
top, _ = records.mean_interval(game, "teacher_miou")
original = scenes("kd_ori")
against_original = against(game, original, COMPARED)
street, street_noise = (
    runs_of("segmentation", method, "camvid")
    for method in ("dfad", "random")
)
assert max(r["miou_last"] for r in street + street_noise) < 5
fixed, logarithm = (
    found["the game's generator, then fixed"],
    found["MAE as the generator's loss"],
)
assert found["white noise"].resolved
assert not fixed.resolved and not logarithm.resolved
pictures.Markdown(f"""**Verdict**

- **Claimed.** On CamVid a student without data reaches a mean
  intersection over union (mIoU) of {claim.figure} %, as much as with
  the original images; its teacher has {claim.teacher_figure} %
  (Table 3). The generator learns which classes occur together.
- **Proved.** The generator's loss −log(1 + MAE) of the public code
  divides MAE's gradient by 1 + MAE and changes nothing else. Adam
  removes constant factors, so the loss acts only through the *change*
  of MAE within Adam's memory.
- **Measured.** Scenes composed of photographs and digits, mIoU
  (n = {len(game)}): teacher {top:.1f} %, DFAD {mean(game)} %, the
  original images {mean(original)} % at as many steps, white noise
  {mean(controls["white noise"])} %. So a run of this length is far from
  the teacher, with and without data.
  - DFAD − original images: {against_original}.
  - DFAD − the game's generator, then fixed: {fixed}.
  - DFAD with −log(1 + MAE) minus DFAD with −MAE: {logarithm}.
  - In generated images the teacher puts the classes of a pair
    together, not the generator (one seed).
- **Open.** CamVid: at {street[0]["flop"] / 1e15:.2f} PFLOP DFAD's
  student has {mean(street)} % (n = {len(street)}), white noise
  {mean(street_noise)} %: neither has learned streets. NYUv2 is queued,
  and the paper's networks and schedule need a GPU.
""")

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the cost"}
seconds = [r["seconds"] for r in game]
pictures.Markdown(
    "Reading time: 10 minutes. The default run distils one student on "
    f"one thread of a CPU ({game[0]['hardware']}: {min(seconds):.0f} to "
    f"{max(seconds):.0f} seconds a seed, beside another run), without a "
    "download."
)

# %% [markdown]
# ```{admonition} Symbols
# :class: dropdown
# | symbol | meaning |
# |---|---|
# | $T$, $S$, $G$ | teacher (fixed), student, generator |
# | $x = G(z)$ | generated image, of noise $z$ |
# | $T(x)_{cij}$ | logit of class $c$ at row $i$, column $j$; $C \times H \times W$ of them |
# | $d(x)$, $D$ | discrepancy of one image; its mean over a batch |
# | $m_t$, $v_t$ | Adam's running means of the gradient and of its square |
# | $A_k$ | event: class $k$ occurs in an image |
#
# {doc}`notation` lists the symbols of the whole book.
# ```

# %% [markdown]
# (sec-seg-game)=
# ## The game with a label for every pixel
#
# A segmentation network answers an image with logits for every pixel, a tensor of $C \times H \times W$ numbers. DFAD's game needs no change for it. The discrepancy is again the mean absolute error of raw logits, now over classes and pixels.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-seg-game", "caption": "The game is that of DFAD on images. Only the answer changes: teacher and student give logits to every pixel, and the gap is averaged over pixels."}, "image": {"alt": "Diagram of five boxes joined by arrows. Noise z goes into the generator G, whose images go to the fixed teacher T and to the student S. Their answers meet in a box for the gap between them."}}
pictures.game_diagram("dfad")
plt.show()

# %% [markdown]
# The student minimises, and the generator maximises,
#
# $$
# d(x) = \frac{1}{C H W} \sum_{c,i,j} \big| T(x)_{cij} - S(x)_{cij} \big| .
# $$ (eq-seg-discrepancy)
#
# The public code gives the generator another loss in segmentation, which the paper does not mention:
#
# $$
# \mathcal L_{GEN} = -\log\!\big(1 + \E_z\, d(G(z))\big) .
# $$ (eq-seg-log)

# %%
pictures.source(losses.mae, methods.dfad.log_mae, methods.DFAD.stage)

# %% [markdown]
# (sec-seg-log)=
# ## The logarithm as a gradient scale
#
# ```{prf:theorem} The logarithm rescales MAE's gradient
# :label: thm-seg-log
# Let $D(\theta) \ge 0$ be differentiable. Then
#
# $$
# \nabla_\theta \log(1 + D) = \frac{\nabla_\theta D}{1 + D} ,
# $$ (eq-seg-scale)
#
# so both losses have the same stationary points and the same direction of steepest ascent. If $D$ is constant over Adam's memory, Adam without its $\varepsilon$ takes the same steps for both.
# ```
#
# ```{prf:proof}
# :class: dropdown
# The first statement is the chain rule, and $1 + D > 0$. Adam's step is $m_t / \sqrt{v_t}$ up to its bias corrections, where $m_t$ is a linear and $v_t$ a quadratic function of the gradients so far. A common factor $a > 0$ of all gradients gives $a\,m_t / \sqrt{a^2 v_t}$, the same step.
# ```
#
# With plain gradient ascent the generator would slow down where the student is far from the teacher. Adam divides by the root of past squared gradients, about the last thousand ({ref}`sec-dfad-adam`), so only the *relative change* of $1 + D$ in that time is left. When $D$ falls, the factor $1/(1 + D)$ rises and recent gradients gain weight.

# %%
# The factor between the two gradients, for one batch of logits.
torch.manual_seed(0)
t = torch.randn(4, 11, 8, 8, dtype=torch.float64)
for spread in (0.1, 1.0, 10.0):
    s = (t + spread * torch.randn_like(t)).requires_grad_()
    distance = losses.mae(t, s)
    [plain] = torch.autograd.grad(distance, s)
    [scaled] = torch.autograd.grad(methods.dfad.log_mae(t, s), s)
    factor = (scaled.norm() / plain.norm()).item()
    D = distance.item()
    print(
        f"MAE {D:6.3f}: factor {factor:.4f}, 1/(1+D) {1 / (1 + D):.4f}"
    )
    assert torch.allclose(scaled, plain / (1 + D))

# %% [markdown]
# (sec-seg-run)=
# ## A run on scenes
#
# By default, this page distils on *scenes*: signs with a handwritten digit hang in front of pieces of two photographs. A pixel of a sign has the class of its digit, every other pixel is background, and the edge of a sign is void, which the teacher's training, pixel accuracy and mIoU leave out. The networks train on crops of 48×48 of the 96×96 pixels.
#
# Signs come in pairs: 0 with 1 at its right, 2 with 3, and so on. This is a counterpart, with known pairs, of the poles and lights in the paper's Figure 6. A pair of signs is 46 pixels wide, so a crop can hold it.
#
# The metric is the mean **intersection over union** (mIoU). For class $k$, let $n_{kl}$ be the number of pixels of class $k$ that the network gives class $l$:
#
# $$
# \text{IoU}_k = \frac{n_{kk}}{\sum_l n_{kl} + \sum_l n_{lk} - n_{kk}} .
# $$ (eq-seg-iou)
#
# The mean is taken over the classes that occur in the labels or in the answers, in the pixels of all test images together. In scenes, {numref}`ex-seg-background` shows why the fraction of correct pixels is not enough.

# %% tags=["nbval-ignore-output"]
done = run.run(
    recipe, data, trained, seed=settings.seed, device=settings.device,
    precision=settings.precision,
    report=max(recipe.settings.stages // 4, 1),
    folder=None if settings.recorded else settings.folder, resume=True,
)  # fmt: skip
last = done.record
records.save_run(settings.folder, done.name, last, done.student)
where = os.path.relpath(settings.folder)
print(f"student: {where}/{done.name}.safetensors")
print(
    f"mIoU {last['miou_last']:.1f} % (teacher "
    f"{last['teacher_miou']:.1f} %), pixels {last['accuracy_last']:.1f} %"
)
print(f"{last['samples']:,} images, {last['flop'] / 1e12:.2f} TFLOP")
if settings.recorded:
    assert last["miou_last"] > 25


# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-seg-answers", "caption": "Six test scenes: the image, its labels (void is white, background grey), the teacher's answer, and the answer of the student, which has seen no scene. The student finds the signs and confuses digits. n = 1 seed."}, "image": {"alt": "Four rows of six small pictures. First row: photographs with pairs of coloured signs. Second row: their label maps, grey with coloured squares. Third row: the teacher's label maps, nearly the same. Fourth row: the student's, where the squares are in place but many are patched with two or more colours."}}
def picture(ax, image):
    ax.imshow(image, interpolation="none")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)


test = Images.of(data, "cpu", "test")
x = test.batch(torch.arange(6))
networks = {"teacher": done.state.teacher, "student": done.student}
networks = {n: net.cpu().float().eval() for n, net in networks.items()}
with torch.no_grad():
    answers = {n: net(x).argmax(1) for n, net in networks.items()}
rows = {"image": data.x_test[:6] / 255}
rows["labels"] = coloured(data.y_test[:6])
rows |= {name: coloured(y) for name, y in answers.items()}
_, axes = plt.subplots(4, 6, figsize=(6.4, 4.4))
for line, (name, shown) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(line, shown, strict=True):
        picture(ax, image)
    line[0].set_ylabel(name)
plt.show()

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-seg-generated", "caption": "Eight generated images (above, each stretched to the full range) and the classes that the teacher gives to their pixels (below, background is grey). None of them looks like a scene, and the teacher sees several digits in each. n = 1 seed."}, "image": {"alt": "Two rows of eight small pictures. The upper row has coloured textures without a recognisable object. The lower row has their label maps by the teacher: irregular patches of several colours on grey."}}
generator = done.state.generator.cpu()
noise = torch.Generator().manual_seed(1)
z = torch.randn(1024, recipe.settings.z_dim, generator=noise)
with torch.no_grad():
    generated = generator(z).float()


def answered(x):
    """The teacher's class of each pixel."""
    with torch.no_grad():
        return networks["teacher"](x.contiguous()).argmax(1).numpy()


made, labels = generated[:8], answered(generated)
_, axes = plt.subplots(2, 8, figsize=(6.4, 1.9))
low, high = made.amin((1, 2, 3), True), made.amax((1, 2, 3), True)
shown = ((made - low) / (high - low)).permute(0, 2, 3, 1).numpy()
for k in range(8):
    picture(axes[0, k], shown[k])
    picture(axes[1, k], coloured(labels[k]))
plt.show()

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-seg-run", "caption": "mIoU on the test scenes over the stages, mean and range of five seeds; the live run replaces its seed's record. Dashed: the teacher. All curves start at a network that calls every pixel background. At the end they still rise."}, "image": {"alt": "mIoU in percent over 200 stages for DFAD, KD on the original images and DAFL: means and ranges. DFAD and KD on the original images rise side by side to between thirty and forty-five, DAFL to somewhat above twenty. A dashed line far above them marks the teacher."}}
groups = {"DFAD": [done.history.asdict()]}
if settings.recorded:
    groups["DFAD"] += [
        r["history"] for r in game if r["seed"] != settings.seed
    ]
    for name, method in (("KD-ORI", "kd_ori"), ("DAFL", "dafl")):
        groups[name] = [r["history"] for r in scenes(method)]
ax = pictures.curves(groups, "miou", y_label="mIoU (%)")
ax.axhline(
    last["teacher_miou"], color=pictures.COLOURS[-1], lw=0.8, ls="--"
)
place = {"transform": ax.get_yaxis_transform(), "ha": "right"}
ax.text(1, last["teacher_miou"] + 1, "teacher", fontsize=9, **place)
ax.set_ylim(0, 100)
plt.show()

# %% [markdown]
# How much of the factor $1/(1+D)$ does Adam leave in this run? The next figure applies Adam to a gradient that has this factor and is constant otherwise.

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-seg-scale", "caption": "The factor by which the logarithm shrinks the generator's gradient in the live run (blue), and what Adam leaves of it in the size of its steps (orange), both relative to MAE, computed from the mean discrepancy of every 25 stages. The gradient is about half as long as MAE's, but Adam's steps are nearly as long. n = 1 seed."}, "image": {"alt": "Two curves over the stages of the run. The factor of the gradient stays near one half and rises a little. The factor of Adam's steps stays near one."}}
h = done.history.asdict()
stages = np.arange(1, recipe.settings.stages + 1)
D = np.interp(
    stages, h["stage"], np.exp(-np.array(h["generator_loss"])) - 1
)
factor = 1 / (1 + D)


def adam_steps(factor):
    """Sizes of Adam's steps for these gradients, all of one sign."""
    m = v = 0.0
    for t, f in enumerate(factor, 1):
        m, v = 0.9 * m + 0.1 * f, 0.999 * v + 0.001 * f**2
        yield m / (1 - 0.9**t) / np.sqrt(v / (1 - 0.999**t))


pictures.lines(
    stages, {"gradient": factor, "Adam's steps": np.array([*adam_steps(factor)])},
    x_label="stage", y_label="relative to MAE",
).set_ylim(0, 1.1)  # fmt: skip
plt.show()

# %% [markdown]
# (sec-seg-pairs)=
# ## Co-occurrence of classes
#
# The paper concludes from one figure that the generator captures the co-occurrence of traffic lights and poles. This can be measured. Let $A_k$ be the event that at least 16 pixels of an image have class $k$. The next cell estimates $\Pr(A_b \mid A_a)$ for all pairs of classes: for crops of real scenes by their labels, and for generated images by the teacher's answers.


# %%
def occurs(maps, least=16):
    """Whether at least so many pixels have a class, (n, classes)."""
    kinds = np.arange(data.num_classes)
    return (maps[..., None] == kinds).sum((1, 2)) >= least


def given(seen):
    """P(class b occurs | class a occurs), (classes, classes)."""
    times = seen.sum(0)[:, None]
    both = seen.T.astype(float) @ seen
    return np.where(times > 0, both / np.maximum(times, 1), np.nan)


images = Images.of(data, "cpu")
index = torch.arange(len(images)).repeat(2)
random = torch.Generator().manual_seed(0)
real, truth = images.labelled(index, random)
seen = {
    "real scenes": occurs(truth.numpy()),
    "generated": occurs(labels),
}

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-seg-pairs", "caption": "Given that class a (row) occurs in an image, how often does class b (column) occur in it? In real scenes the pairs of signs stand out as 2 by 2 blocks along the diagonal. In generated images many classes occur at once; the same blocks are a little brighter than what surrounds them. n = 1 seed, 1,024 images."}, "image": {"alt": "Two square matrices side by side, rows and columns are eleven classes. Left, real scenes: bright 2 by 2 blocks along the diagonal and a bright column of the background, the rest dark. Right, generated images: bright and dark columns, on which the blocks along the diagonal are only slightly brighter."}}
axes = pictures.panels(2, 2, 2.6)
places = range(data.num_classes)
names = ["ground" if n == "background" else n for n in data.classes]
for ax, (name, found_in) in zip(axes.flat, seen.items(), strict=True):
    shown = ax.imshow(given(found_in), vmin=0, vmax=1, cmap="magma")
    ax.set(title=name, xlabel="class b", ylabel="class a")
    ax.set_xticks(places, names, rotation=90, fontsize=8)
    ax.set_yticks(places, names, fontsize=8)
    ax.grid(visible=False)
ax.figure.colorbar(shown, ax=axes, label="P(b | a)")
plt.show()


# %% [markdown]
# The blocks are there. Are they due to the generator or to the teacher? The teacher has learnt scenes, in which 1 hangs at the right of 0, and may expect a 1 there beside anything that looks like a 0. Let the *lift* of a pair be $\Pr(A_b \text{ at the right} \mid A_a \text{ at the left}) - \Pr(A_b \text{ at the right})$, for the two halves of an image. It is measured in three ways:
#
# - **together**: the teacher sees the whole image;
# - **apart**: the teacher sees each half alone, so it cannot complete a pair. The remaining lift is due to the pixels;
# - **exchanged**: the teacher sees the left half of one image beside the right half of another. The remaining lift is due to the teacher.

# %% tags=["nbval-ignore-output"]
classes = list(data.classes)
known = {"scenes": [(str(k), str(k + 1)) for k in range(0, 10, 2)]}
known["camvid"] = [("pole", "sign")]
pairs = {
    tuple(map(classes.index, pair)) for pair in known.get(data.name, [])
}
signs = sorted({k for pair in pairs for k in pair})
half = data.shape[2] // 2
lifts, KINDS = {}, ("pair", "reversed", "other")


def signed(gap):
    return f"{round(gap, 2) + 0.0:+.2f}".replace("-", "−")


for name, x in (("real scenes", real), ("generated", generated)):
    left, right = x[..., :half], x[..., half:]
    both = torch.cat([left, right.roll(1, 0)], 3)
    whole, mixed = answered(x), answered(both)
    sides = {
        "together": (whole[..., :half], whole[..., half:]),
        "apart": (answered(left), answered(right)),
        "exchanged": (mixed[..., :half], mixed[..., half:]),
    }
    for how, (l_answer, r_answer) in sides.items():
        a_seen, b_seen = occurs(l_answer), occurs(r_answer)
        gaps = {kind: [] for kind in KINDS}
        for a, b in itertools.permutations(signs, 2):
            if a_seen[:, a].any():
                more = b_seen[a_seen[:, a], b].mean()
                more -= b_seen[:, b].mean()
                kind = (
                    "pair" if (a, b) in pairs
                    else "reversed" if (b, a) in pairs else "other"
                )  # fmt: skip
                gaps[kind].append(more)
        lifts[name, how] = {k: np.mean(g) for k, g in gaps.items() if g}
if settings.recorded:
    together, apart, exchanged = (
        lifts["generated", how]["pair"]
        for how in ("together", "apart", "exchanged")
    )
    assert together > 0.1 and abs(together - exchanged) < 0.1
    assert abs(apart) < 0.05 < lifts["real scenes", "apart"]["pair"]

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the code of the table"}
pictures.table(
    ["images", "the teacher sees the halves", "pair", "reversed", "others"],
    [
        [*place, *(signed(gaps[k]) if k in gaps else "–" for k in KINDS)]
        for place, gaps in lifts.items()
    ],
    texts=2,
    caption="Mean lift: of the pairs in their order, in the reverse order, and of all other two classes (n = 1 seed, 1,024 "
    "generated images, two crops of each of the training scenes).",
)  # fmt: skip

# %% [markdown]
# In real scenes the pair is in the pixels: seen apart, a 0 at the left still predicts a 1 at the right. In generated images we find no trace of it there. Seen apart, the halves predict nothing about each other, and halves of two unrelated images show pairs as often as those of one, in the right order. So here the teacher puts the classes together, not the generator. A picture of generated scenes under the teacher's labels, as the paper's Figure 6, cannot distinguish the two.
#
# (sec-seg-paper)=
# ## Ours beside the paper's
#
# The paper's Table 3 has two data sets. Ours are the same images at a lower resolution with a small pair of networks, at 0.03 PFLOP a run. The table has in addition the scenes of this page.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
printed = {
    (s.dataset, s.method): s
    for s in papers.SYSTEMS
    if s.paper == "dfad" and s.table == "3"
}
order = ["kd_ori", "kd_rel", "kd_unr", "random", "dafl", "dfad"]
rows = []
for name in ("scenes", "camvid", "nyuv2"):
    for method in order:
        where = "scenes" if name == "scenes" else "segmentation"
        group = runs_of(where, method, name)
        theirs = printed.get((name, method))
        if not group and not theirs:
            continue
        row = [name, scoreboard.NAMES[method]]
        row += (
            [theirs.teacher_figure, theirs.figure]
            if theirs
            else ["–"] * 2
        )
        top = f"{group[0]['teacher_miou']:.1f}" if group else "–"
        rows.append([*row, top, mean(group), len(group)])
pictures.table(
    [
        "data set", "method", "paper: teacher", "paper: student",
        "ours: teacher", "ours: student", "n",
    ],
    rows,
    texts=2,
    caption="mIoU in percent. Ours: final, mean ± half a 95 % interval "
    "over n seeds; a dash is not run.",
)  # fmt: skip

# %% [markdown]
# On scenes, the game's images teach more than photographs of rooms, in which the teacher sees little but background. KD-ORI is no upper bound here: it is a short run too, and it has another loss and another rate than DFAD. In a trial with DFAD's rate it ended above every trial of DFAD ({ref}`sec-seg-choices`).
#
# On CamVid, where a row has one seed, DFAD's student has learned next to nothing about streets at this budget. Run this page with `-p dataset camvid` to see a reason: its generated images ({numref}`fig-seg-generated`) resemble each other, and the teacher sees little but poles, trees and signs in them. Sky, road and building, the large classes of a street, hardly occur. The student agrees with the teacher on these images and has never been shown the other classes.
#
# ```{note}
# :class: dropdown
# Records of the experiments `scenes` and `segmentation` of `workflow/experiments.yml`; those that are missing are queued. We have no images related to CamVid or NYUv2, so KD-REL was not run. Our KD-UNR uses rooms (NYUv2 {cite:p}`silberman2012nyuv2`) for scenes and streets, and streets (CamVid {cite:p}`brostow2009camvid`) for rooms. The paper uses VOC 2012.
# ```
#
# (sec-seg-fixed)=
# ## A fixed generator against the game
#
# The paper gives a reason to let the generator follow the student: on CamVid, a new student that learns from the game's final, fixed generator reaches an mIoU of 0.460 instead of 0.535 (its Section 4.3). `generator_share=0.5` repeats this in one run. After half of the stages the generator is fixed, and a new student begins, for as many steps. The generator's learning rate is then still at half of its first value, so it is not quite the end of a game.
#
# `generator_lr=0` is a generator that never learned. White noise and photographs replace the generator. Their students learn by KL at a lower rate, so these two rows compare whole methods. The last row compares the generator's losses, $-\log(1 + D)$ and $-D$.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-seg-control", "caption": "Final mIoU on scenes: DFAD minus each control, paired by seed, mean and 95 % interval. The game is far ahead of noise and of a generator that never learned. The two losses of the generator do not differ measurably. n = 5 seeds; the list below has the numbers."}, "image": {"alt": "Interval plot of five differences of mIoU in points. DFAD minus white noise, minus photographs of rooms, and minus a generator that never learned lie far to the right of zero. DFAD minus the fixed generator lies a little to its right. DFAD with the logarithm minus DFAD without it has an interval around zero."}}
pictures.intervals(
    {
        f"DFAD − {name}": (gap.mean, gap.half)
        for name, gap in found.items()
    },
    x_label="difference in final mIoU (points)",
    zero=True,
)
plt.show()

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the differences"}
pictures.Markdown(
    "Final mIoU, paired by seed:\n\n"
    + "\n".join(f"- DFAD − {n}: {gap}." for n, gap in found.items())
)

# %% [markdown]
# A generator must learn: the game is far ahead of one that never did. Whether it must also *follow* the student is not resolved by five seeds; the paper's own difference comes from one run. No difference between the two losses of the generator is resolved either. The interval leaves room for several points, so this is no proof that the logarithm is useless.
#
# ## Summary
#
# - DFAD's game also teaches a label for every pixel: on scenes, its student ends far above those that see noise or photographs of rooms, and far below the teacher.
# - The generator's loss $-\log(1 + D)$ of the public code divides the gradient by $1 + D$. Adam removes most of this factor, and no difference from $-D$ is resolved.
# - A generator that was never trained teaches far less than the game's.
# - In generated scenes the classes of a pair occur together because the teacher expects them to. The pixels of the two halves predict nothing about each other.
# - Pixel accuracy hides all this: a network that calls every pixel background is right at most of them.
#
# ## Reproduce it
#
# ```bash
# python -m dfkd_lib.run --method dfad --dataset scenes       # this run
# papermill book/05_segmentation.ipynb out.ipynb -p dataset camvid
# python -m dfkd_lib.run --method dfad --dataset camvid --recipe dfad --budget full  # a GPU
# ```
#
# CamVid and NYUv2 are read from `$DFKD_DATA/camvid.npz` and `nyuv2.npz`; if one is missing, the message names what it must contain. On a CPU the small pair gets 0.03 PFLOP. {doc}`recipes` lists every setting with its source. A segmentation network of your own, without data, is distilled as in {doc}`07_your_own_teacher`: `dfkd_lib.distill` takes it as it is.

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show the recipe of this run", "code_prompt_hide": "Hide the recipe of this run"}
pictures.table(
    ["setting", "value", "source"],
    recipe.rows(),
    texts=3,
    caption="The recipe of this run, with the source of each value.",
)

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the cost"}
hours = [r["seconds"] / 3600 for r in game]
pictures.Markdown(
    f"A run on scenes costs {game[0]['flop'] / 1e15:.4f} PFLOP and "
    f"{min(hours):.2f} to {max(hours):.2f} hours of one thread of an "
    f"{game[0]['hardware']} that also had other work."
)

# %% [markdown]
# (sec-seg-choices)=
# ## Deviations
#
# **paper**: its text; **code**: its public code; **ours**: our choice.
#
# 1. **Data** (ours): scenes by default. CamVid at 240×180 and NYUv2 at 160×120 pixels, crops of 96 and 64; the paper has crops of 128 of images whose shorter side has 256.
# 2. **Networks** (ours): a small DeepLab of fused inverted residuals and one half as wide, both of output stride 8. `--recipe dfad` is the paper's pair, DeepLabV3 on ResNet-50 and on MobileNetV2. Their "FLOPs" in the paper are exact at 256×256 pixels, not at its crops.
# 3. **Teacher** (ours): begins from random weights; the paper's begins from ImageNet. It is trained by the code's focal loss {cite:p}`lin2017focal`.
# 4. **Generator's loss** (code): $-\log(1 + D)$. The paper's text has $-D$ for all its tasks.
# 5. **Generator** (ours): Generator-A on scenes, chosen by the trials below. On CamVid and NYUv2 it is Generator-B, as in the paper, of a quarter of the width.
# 6. **Rates** (ours): 0.3 for DFAD's student on scenes, chosen by the same trials. All other methods keep DFAD's 0.1, and their KL. KD-ORI also gained from 0.3 in its trial, so its rows here are not its best.
# 7. **Test** (ours): whole images at their own size, all pixels in one matrix, void left out. The mIoU is the final one.

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show the trials", "code_prompt_hide": "Hide the trials"}
trials = records.load_records("scenes_tuning")
pictures.table(
    ["method", "changed setting", "mIoU (%)"],
    [
        [
            scoreboard.NAMES[r["method"]],
            ", ".join(f"{n}={v}" for n, v in r["changes"].items())
            or "–",
            f"{r['miou_last']:.1f}",
        ]
        for r in trials
    ],
    texts=2,
    caption="Trials on scenes, with a seed that no other run has (n = 1).",
)

# %% [markdown]
# (sec-seg-exercises)=
# ## Exercises
#
# ```{exercise}
# :label: ex-seg-background
# Predict before you compute: a network calls every pixel of the test scenes background. Which fraction of the pixels is correct, and what is its mIoU?
# ```
#
# ```{solution} ex-seg-background
# :class: dropdown
# If background has a fraction $q$ of the pixels that are not void, this fraction is correct. Its IoU is $q$, since every pixel is called background; the ten digits have an IoU of 0. So the mIoU is $q / 11$. The students that learn from white noise end exactly there.
# ```

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show the numeric check"}
y = torch.tensor(data.y_test)
matrix = confusion(y, torch.zeros_like(y), data.num_classes)
fraction = (matrix.diagonal().sum() / matrix.sum()).item()
print(f"pixels {100 * fraction:.1f} %, mIoU {miou(matrix):.1f} %")
noise_ends = [r["miou_last"] for r in controls["white noise"]]
print(f"students of white noise: {np.unique(noise_ends).round(1)} %")
if data.name == "scenes":
    assert np.allclose(noise_ends, miou(matrix))

# %% [markdown]
# ```{exercise}
# :label: ex-seg-log
# Predict before you compute: the generator minimises $-\log D$ instead of $-\log(1 + D)$, and $D$ grows from 0.01 to 1 within 200 stages. By which factor do Adam's steps at the end differ from those for $-D$?
# ```
#
# ```{solution} ex-seg-log
# :class: dropdown
# The gradient has the factor $1/D$, which is 100 at the beginning and 1 at the end. The mean square of the past gradients is dominated by the first, so the last steps are many times smaller. For $1/(1+D)$ the factor lies between 1 and ½ all the time: the 1 in the logarithm keeps the beginning from deciding the rest.
# ```

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show the numeric check"}
D = np.geomspace(0.01, 1, 200)
for name, factor in (("log(1 + D)", 1 / (1 + D)), ("log D", 1 / D)):
    *_, step = adam_steps(factor)
    print(f"{name:10s}: steps of {step:.2f} times those for D")
