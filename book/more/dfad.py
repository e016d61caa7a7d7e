# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # DFAD: proofs, controls and sensitivity
#
# This page accompanies {doc}`../01_dfad`, which lists the page that is missing from our text of the paper. The findings:
#
# - **Images have no density ratio.** A blurred generator has one, but it cannot be estimated in many dimensions ([](sec-dfad-images)).
# - **More search does not make a better student.** In the 2-D toy problem, a generator with ten steps per stage keeps the paper's bound longer, and its students agree less with the teacher ([](sec-dfad-strengths)).
# - **A small true discrepancy promises nothing about images** ([](sec-dfad-data)).
# - **MAE and KL are not distinguished** at any of three learning rates on digits. Losses that contain MSE fail at the rate that suits MAE, where residuals are large, and learn at a tenth of it ([](sec-dfad-losses)).
# - **A batch of 16** is worse than one of 128 at equal numbers of steps and better at equal numbers of images. Neither comparison is fair ([](sec-dfad-batch)).
# - **Constant learning rates** leave the student in a band of accuracies, and the final test is a random point of that band ([](sec-dfad-rest)).
# - **The student's learning rate decides a short run on CIFAR-10**: of four, one lets DFAD learn much more than the paper's ([](sec-dfad-rates)).
#
# Everything is computed from records and closed forms, except for short games in the plane and ten stages on digits. The notebook runs in about one minute on one CPU thread.

# %% tags=["remove-cell"]
if "google.colab" in str(globals().get("get_ipython", str)()): get_ipython().run_line_magic("pip", "install -q dfkd_lib==0.2.0")  # fmt: skip

# %% tags=["parameters"]
seed: int = 0  # the first seed of the games in the plane

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the set-up", "code_prompt_hide": "Hide the set-up"}
from dfkd_lib import check_parameters

settings = check_parameters(globals())

import copy
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.special import softmax

from dfkd_lib import records, run, theory
from dfkd_lib.data import load_dataset
from dfkd_lib.lab import pictures
from dfkd_lib.models import grid
from dfkd_lib.recipes import recipe_for
from dfkd_lib.teachers import load_teacher
from dfkd_lib.train import TestSet, train

NAMES = {"mae": "MAE", "mse": "MSE", "kl": "KL", "mse_mae": "MSE + MAE"}
rng = np.random.default_rng(0)


def mean(group, key="accuracy_last", digits=2):
    """Mean over seeds ± half of its 95 % interval."""
    value, half = records.mean_interval(group, key)
    return f"{value:.{digits}f} ± {half:.{digits}f}"


def compare(a, b, of, key="accuracy_last"):
    """A difference as a table's cells."""
    gap = records.difference(a, b, of, key)
    low, high = gap.mean - gap.half, gap.mean + gap.half
    cells = (
        f"{gap.mean:+.2f}",
        f"{low:+.2f} to {high:+.2f}, n = {gap.n}",
        "resolved" if gap.resolved else "not resolved",
    )
    return [text.replace("-", "−") for text in cells]


# %% [markdown]
# (sec-dfad-images)=
# ## The density ratio of an image generator
#
# The gap between generated and uniform discrepancy is a covariance with the density ratio $w$, {prf:ref}`thm-dfad-gap`. A sufficient condition for a positive sign is an inequality of Chebyshev.
#
# ```{prf:theorem} Chebyshev's association inequality
# :label: thm-dfad-chebyshev
# If, in addition, $w(x) = g(d(x))$ with $g$ non-decreasing, then $\E_G\, d \ge \E_u\, d$. It is enough that the mean of $w$ over the points of equal
# discrepancy, $\E_u[w \mid d]$, is non-decreasing in $d$.
# ```
#
# ```{prf:proof}
# :class: dropdown
# Let $g(d) = \E_u[w \mid d]$; then $\Cov_u(w, d) = \Cov_u(g(d), d)$. Let $d$ and $d'$ be the discrepancies at two independent uniform points. Then
# $2\Cov_u(g(d), d) = \E\big[(g(d) - g(d'))(d - d')\big]$, and the two factors never have opposite signs.
# ```
#
# The paper's generator that "always" makes hard samples is the case $w \propto \mathbb 1[d > \text{threshold}]$. The next cell gives the same ratios to 1,000 equal cells, once in the order of $d$ and once in the reverse order.

# %%
d = rng.exponential(size=1000)  # discrepancies on 1,000 equal cells
rising = np.sort(rng.dirichlet(np.ones(1000)) * 1000)[
    d.argsort().argsort()
]
falling = np.sort(rising)[::-1][d.argsort().argsort()]
for name, w in (("rising", rising), ("falling", falling)):
    w = w / w.mean()
    cov = ((w - 1) * (d - d.mean())).mean()
    print(f"w {name:7s} in d: E_G d − E_u d = {cov:+.4f}")
    assert abs((w * d).mean() - d.mean() - cov) < 1e-12
    assert (cov > 0) == (name == "rising")

# %% [markdown]
# A digit has 1,024 pixels and its noise 100 coordinates. In train mode an image also depends on its batch, but only through two BatchNorm statistics per channel, and the generator normalises 16 + 16 + 8 + 1 channels. So all images of $G$ lie on a set of at most 100 + 2 · 41 = 182 dimensions, which has volume zero: $w$ does not exist. Small noise on each pixel, reflected into the box, restores a density.
#
# ```{prf:theorem} A blurred generator
# :label: thm-dfad-smooth
# Let $G(z)$ lie in the box $[-R, R]^n$ and $d$ be $L$-Lipschitz on it. Let $G_\sigma(z) = \phi(G(z) + \sigma\varepsilon)$ with $\varepsilon \sim \mathcal N(0, I_n)$ and $\phi$ the reflection at the walls. Then $G_\sigma$ has a density ratio $w_\sigma$, and
#
# $$
# \big| \,\E_G\, d - \E_u\, d - \Cov_u(w_\sigma, d)\, \big| \ \le\ L\,\sigma\,\E\|\varepsilon\| \ \le\ L\,\sigma\sqrt n .
# $$ (eq-dfad-smooth)
# ```
#
# ```{prf:proof}
# :class: dropdown
# $G(z) + \sigma\varepsilon$ has a density, whatever $G$ is. $\phi$ is an isometry on each of countably many boxes that tile the space, so densities stay densities. It is 1-Lipschitz and leaves points of the box unchanged, $G(z)$ among them, so
# $\|G_\sigma(z) - G(z)\| \le \sigma\|\varepsilon\|$, and $|\E_{G_\sigma} d - \E_G\, d| \le L\sigma\,\E\|\varepsilon\|$. Apply {prf:ref}`thm-dfad-gap` to $G_\sigma$. Finally, $\E\|\varepsilon\| \le \sqrt{\E\|\varepsilon\|^2} = \sqrt n$.
# ```
#
# ReLU networks are Lipschitz, so the theorem applies to them. In $n$ dimensions $\sigma$ must be of size $1/(L\sqrt n)$. At such a $\sigma$ the density consists of needles that no sample of $w_\sigma$ would hit. For images {eq}`eq-dfad-gap` is a way to reason, not a way to measure.
#
# In the plane the theorem can be checked: a generator makes points of a circle only, and the landscape $d(x) = 1 + \sin(2 x_1)\sin(x_2)$ has slopes of at most $L = 2$.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the check"}
angle = 2 * np.pi * np.arange(48) / 48
on_circle = np.stack([np.cos(angle), np.sin(angle)], 1) + [0.8, 1.2]
box = grid(151).flatten(1).double().numpy()


def landscape(x):
    return 1 + np.sin(2 * x[:, 0]) * np.sin(x[:, 1])


def folded_ratio(x, c, sigma):
    """w_σ at x for centres c, reflected into [−3, 3]²."""
    boxes = 12 * np.arange(-3, 4)[:, None]  # as far as it matters
    ratio = np.ones((len(x), len(c)))
    for here, centre in zip(x.T, c.T, strict=True):
        mirrored = np.concatenate([boxes + centre, boxes + 6 - centre])
        away = (here[:, None, None] - mirrored) / sigma
        density = np.exp(-(away**2) / 2).sum(1)
        ratio *= 6 * density / (sigma * math.sqrt(2 * math.pi))
    return ratio.mean(1)


exact = landscape(on_circle).mean() - landscape(box).mean()
for sigma in (1.0, 0.3, 0.1):
    w = folded_ratio(box, on_circle, sigma)
    cov = ((w - 1) * (landscape(box) - landscape(box).mean())).mean()
    bound = 2 * sigma * np.sqrt(np.pi / 2)  # E‖ε‖ in the plane
    print(
        f"σ = {sigma}: covariance {cov:+.4f}, exact {exact:+.4f}, "
        f"error {abs(cov - exact):.4f}, at most {bound:.4f}"
    )
    assert abs(cov - exact) <= bound and abs(w.mean() - 1) < 1e-3

# %% [markdown]
# (sec-dfad-strengths)=
# ## Generators of different strength
#
# [](sec-dfad-moves) shows one seed with a head start of the generator. Here are games without a head start, over seeds, for generators that take no step, the recipe's one step, and ten steps per stage. The student takes the same number of steps in all of them, 100 stages.

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the games and the code of the table"}
moons = load_dataset("moons")
plane_teacher = load_teacher(moons, "mlp", device="cpu")
moons_test = TestSet.of(moons, plane_teacher.network, "cpu")
plane = grid(61).double()


@torch.no_grad()
def moment(s):
    """d at generated points and on the plane, w on the plane."""
    G, S, T = (
        copy.deepcopy(network).double().eval()
        for network in (s.generator, s.student, s.teacher)
    )
    random = torch.Generator().manual_seed(s.stage)
    z = torch.randn(2000, 2, generator=random, dtype=torch.float64)
    on_g, on_u = (
        theory.discrepancy(T(x).numpy(), S(x).numpy())
        for x in (G(z), plane)
    )
    w = 36 * G.log_density(G.inverse(plane)).exp().numpy()
    return on_g, on_u, w


def play(s, frozen, **changes):
    """A game in the plane; its moments, and the final agreement."""
    game = recipe_for("moons", "dfad").replace(stages=100, **changes)
    state = run.begin(game, plane_teacher.network, moons, seed=s)
    if frozen:
        state.generator_schedule.base_lrs = [0.0]
        state.generator_optimizer.param_groups[0]["lr"] = 0.0
    found = []

    def watch(s):
        if s.stage == 1 or s.stage % 5 == 0:
            found.append(moment(s))

    history = train(
        game.settings, state, moons_test, progress=False, observe=watch
    )
    return found, history.agreement[-1]


def span(values, digits=0):
    """The range over seeds."""
    return f"{min(values):.{digits}f}–{max(values):.{digits}f}"


strengths = {
    "none": (3, True, {}),
    "1, the recipe": (3, False, {}),
    "10": (3, False, {"generator_steps": 10}),
}
rows, ended = [], {}
for name, (count, frozen, change) in strengths.items():
    columns = []
    for s in range(settings.seed, settings.seed + count):
        found, agreement = play(s, frozen, **change)
        on_g, on_u, w = found[-1]
        columns.append(
            (
                100 * np.mean([g.mean() > u.mean() for g, u, _ in found]),
                np.abs(w - 1).mean() / 2,
                on_g.mean(), on_u.mean(), on_u.max(), agreement,
            )
        )  # fmt: skip
    columns = ended[name] = list(zip(*columns, strict=True))
    rows.append(
        [name, count, span(columns[0])]
        + [span(v, 2) for v in columns[1:5]]
        + [span(columns[5], 1)]
    )
assert min(ended["10"][0]) > max(ended["1, the recipe"][0])
assert max(ended["10"][5]) < min(ended["1, the recipe"][5])
pictures.table(
    ["steps of G", "seeds", "bound holds (% of stages)", "TVD", "E_G d",
     "E_u d", "max d", "agreement (%)"],
    rows,
    caption="Games in the plane by the strength of the generator: ranges "
    "over seeds. The third column is over 21 watched stages, the others "
    "are at the end",
)  # fmt: skip

# %% [markdown]
# With the paper's one step to five, the generated points are *easier* than random points at most stages. With ten steps the bound holds at more of them, but the generator's density is further from uniform (TVD) and its students agree less with the teacher, in every seed. An untrained generator stays nearest to equality, and these few seeds do not separate its students from the recipe's.
#
# This is a finding about a plane. The paper reports a benefit of moving on CamVid: a student trained from the *final, fixed* generator reaches a mIoU of 0.460, and one that played against the moving generator 0.535 (its Section 4.3 and Table 3).

# %% [markdown]
# (sec-dfad-data)=
# ## What the true discrepancy promises for real data
#
# The paper minimises $D^*$, the mean over the whole box. The quantity of interest is $\E_{x\sim p_{data}} d(x)$.
#
# ```{prf:theorem} Real data
# :label: thm-dfad-data
# 1. $\E_{p_{data}}\, d \le \sup d$ over the support of $p_{data}$.
# 2. If $p_{data}$ has a density ratio $w_{data}$ to $p_u$, then $\E_{p_{data}}\, d \le \operatorname{ess\,sup} w_{data} \cdot D^*$. The factor cannot be improved.
# 3. If $p_{data}$ lives on a set of volume zero, no bound by $D^*$ exists: for every $\epsilon > 0$ and $c$ there is a continuous student with $D^* < \epsilon$ and $\E_{p_{data}} d = c$, if the teacher is continuous.
# 4. Student and teacher name the same class wherever the teacher's two largest logits differ by more than $C\,d(x)$.
# ```
#
# ```{prf:proof}
# :class: dropdown
# (1) is the definition. (2) $\E_{p_{data}}\, d = \E_u[w_{data}\, d]$; a student that is wrong only where $w_{data}$ is near its largest value comes arbitrarily close. (3) Take a closed set $K$ of volume zero that carries $p_{data}$, or all of it except an arbitrarily
# small part, and $f(x) = \max(0, 1 - \operatorname{dist}(x, K)/s)$. With $S = T + c'f\cdot(1,\dots,1)$, $\E_{p_{data}}d = c$ for the right $c' \ge c$, and $D^* = c'\,\E_u f \to 0$ as $s \to 0$, by dominated convergence.
# (4) With $a$ the teacher's class and $b$ another, $S_a - S_b \ge T_a - T_b - |T_a - S_a| - |T_b - S_b| \ge T_a - T_b - C\,d(x) > 0$.
# ```
#
# Natural images are a vanishing part of the box, and a mean over the box does not depend on them. The maximum of {eq}`eq-dfad-sup` would promise something, but only over the region that generators reach. Statement 3 in one dimension: the data is one point, and the student has a spike there.

# %%
line = np.linspace(-1, 1, 200_001)
for s in (0.1, 0.01, 0.001):
    spike = np.maximum(0, 1 - np.abs(line) / s)
    print(
        f"spike of half-width {s}: D* = {spike.mean():.5f}, "
        f"at the data d = {spike[100_000]:.0f}"
    )
    assert abs(spike.mean() - s / 2) < 1e-4

# %% [markdown]
# (sec-dfad-logits)=
# ## Gradients in the logits
#
# The paper's Eq. 6 is about the student's weights. All players share the gradient in the student's logits.
#
# ```{prf:theorem} Gradients in logits
# :label: thm-dfad-logits
# For one image let $S = T + r\,v$ with $r > 0$, $\|v\|_2 = 1$, and $k$ non-zero coordinates of $v$. Let $F = \operatorname{diag}(p_T) - p_T p_T^\top$. The gradients in $S$ have the norms
#
# $$
# \begin{aligned}
# \text{MAE: } \ & \sqrt k / C , \\
# \text{MSE: } \ & 2\,r / C , \\
# \text{KL: }\ & \| p_S - p_T \| = r\,\|F v\| + O(r^2) .
# \end{aligned}
# $$ (eq-dfad-norms)
#
# MAE's is the same for every $r$. KL's is never more than $\sqrt2$; along the all-ones direction it is exactly zero for every $r$, and $\|F\| \le 2\,(1 - \max_c p_T(x)_c)$.
# ```
#
# ```{prf:proof}
# :class: dropdown
# MAE is $\frac1C\sum_c |S_c - T_c|$, whose gradient is $\operatorname{sign}(v)/C$. MSE is $\frac1C\|S - T\|^2$. The gradient of $\KL(p_T\Vert p_S) = \text{const} - \sum_c (p_T)_c \log (p_S)_c$ in the student's logits is $p_S - p_T$; its first-order term is the Jacobian of softmax, which is $F$. Two points of the simplex are at most $\sqrt2$ apart.
# A shift of all logits changes no probability. $F$ is positive semidefinite, so $\|F\| \le \operatorname{tr} F = 1 - \sum_c p_c^2 \le 1 - p_{\max}^2 \le 2(1 - p_{\max})$.
# ```
#
# For small residuals the paper is right: the orders are 0, 1 and 1. MSE + MAE has order 0, because for small $r$ it *is* MAE. For **large** residuals MAE and KL are bounded, and MSE is not.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-dfad-logits", "caption": "Size of each loss's gradient in the logits over the size of the residual (random logits of ten classes). MAE is constant. MSE and KL vanish with the residual, and MSE alone grows without bound."}, "image": {"alt": "The norm of each loss's gradient in logits over the residual of the logits, both axes logarithmic. MAE is a level line. MSE is a straight rising line; KL runs along with it and turns level where residuals are large. MSE + MAE is level like MAE at small residuals and rises like MSE at large ones."}}
residuals = np.geomspace(1e-3, 1e3, 61)
q_t = rng.normal(size=(1, 10))
v = rng.normal(size=(1, 10))
v /= np.linalg.norm(v)
norms = {
    name: np.array(
        [
            np.linalg.norm(
                theory.logit_gradients(q_t, q_t + r * v)[key]
            )
            for r in residuals
        ]
    )
    for key, name in NAMES.items()
}
ax = pictures.lines(
    residuals,
    norms,
    x_label="residual r of the logits",
    y_label="gradient's norm, in logits",
    y_scale="log",
)
ax.set_xscale("log")
plt.show()
small = residuals < 0.01
slopes = [
    np.polyfit(np.log(residuals[small]), np.log(y[small]), 1)[0]
    for y in norms.values()
]
print(dict(zip(norms, np.round(slopes, 2).tolist(), strict=True)))
assert np.abs(np.subtract(slopes, (0, 1, 1, 0))).max() < 0.05

# %%
shifted = theory.logit_gradients(q_t, q_t + 3.0)["kl"]
print(f"KL, all logits shifted by 3: {np.abs(shifted).max():.0e}")
assert np.abs(shifted).max() < 1e-15
for scale in (0.5, 1, 2, 4):
    p = softmax(scale * q_t[0])
    F = np.diag(p) - np.outer(p, p)
    largest = np.linalg.eigvalsh(F)[-1]
    print(
        f"teacher {100 * p.max():5.1f} % sure: ‖F‖ = {largest:.5f}, "
        f"bound {2 * (1 - p.max()):.5f}"
    )
    assert largest <= 2 * (1 - p.max()) + 1e-12

# %% [markdown]
# A student trained with KL may answer with logits of any level, because only differences count, and KL is flat where the teacher is very sure. Neither is a fault if only labels matter. MAE asks for the logits themselves.
#
# For segmentation the authors' public code gives the generator $-\log(1 + \text{MAE})$; {ref}`sec-seg-log` derives what this changes.

# %% [markdown]
# (sec-dfad-adam)=
# ## Gradient scale under Adam
#
# The generator is trained with Adam {cite:p}`kingma2015adam`, which divides a running mean of each coordinate's gradients by the root of a running mean of their squares. If *all* gradients are multiplied by a constant, the steps do not change, up to a small number in the denominator ($10^{-8}$):

# %%
steps = {}
gradients = torch.tensor(rng.normal(size=(200, 50)))
for factor in (1.0, 1e-3):
    weights = torch.zeros(50, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([weights], lr=1e-3)
    for g in gradients:
        weights.grad = factor * g
        adam.step()
    steps[factor] = weights.detach().norm().item()
print({f"× {f:g}": round(n, 4) for f, n in steps.items()})
assert abs(steps[1e-3] / steps[1.0] - 1) < 1e-3

# %% [markdown]
# Adam does not undo a decay that is fast compared with its memory of $1/(1 - \beta_2) = 1000$ steps. It also does not change the *distribution* of the gradient over a batch: with MSE an image counts in proportion to its residual. The run of the chapter has 160 generator steps, all within Adam's memory, so most of a decrease of the gradients reaches the weights. In the paper's runs of 25,000 steps a slow decay would not.
#
# ```{exercise}
# :label: ex-dfad-adam
# Gradients decay geometrically, $g_t = \rho^t g_0$, and the generator is trained with Adam ($\beta_1 = 0.9$, $\beta_2 = 0.999$). Predict before you run the cell: after many steps, is Adam's step larger or smaller than its learning rate? Below which $\rho$ do its steps vanish?
# ```
#
# ```{solution} ex-dfad-adam
# :class: dropdown
# The running mean is $(1-\beta_1)\sum_j \beta_1^j \rho^{t-j} \to \rho^t(1-\beta_1)/(1-\beta_1/\rho)$ for $\rho > \beta_1$, larger than $g_t$. The running mean of squares is $\rho^{2t}(1-\beta_2)/(1-\beta_2/\rho^2)$ if $\rho^2 > \beta_2$. So the step tends to
# $\frac{1-\beta_1}{1-\beta_1/\rho}\sqrt{\frac{1-\beta_2/\rho^2}{1-\beta_2}}$ times the learning rate, slightly less than 1 for $\rho$ near 1. For $\rho < \sqrt{\beta_2} = 0.9995$ the old squares outlive the gradients and the step decays like $(\rho/\sqrt{\beta_2})^t$: it halves in 1,400 steps at $\rho = 0.999$.
# ```

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show the numbers of the solution"}
# Exercise: Adam on gradients that decay geometrically.
for rho in (0.9999, 0.9997, 0.999):
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([weight], lr=1.0, eps=0.0)
    for t in range(12_000):
        before = weight.item()
        weight.grad = torch.full_like(weight, rho**t)
        adam.step()
    step = before - weight.item()
    b1, b2 = 0.9, 0.999
    text = f"ρ = {rho}: step after 12,000 is {step:.4f} of the rate"
    if rho**2 > b2:
        formula = (1 - b1) / (1 - b1 / rho)
        formula *= np.sqrt((1 - b2 / rho**2) / (1 - b2))
        text += f", formula {formula:.4f}"
        assert abs(step / formula - 1) < 0.01
    print(text)

# %% [markdown]
# (sec-dfad-losses)=
# ## Sensitivity to the loss
#
# The paper's Figure 4 compares MAE, MSE, KL and MSE + MAE on CIFAR-10, for both players, and MAE is best. On digits, with the recipe otherwise unchanged:

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-dfad-losses", "caption": "Test accuracy over the stages on digits for the four losses of the paper's Figure 4, at the learning rate that suits MAE. Lines are means over seeds (five, for MSE three) and bands are ranges. KL and MAE end at the same height; the losses that contain MSE fail at this rate."}, "image": {"alt": "Test accuracy (%) over 160 stages for students of four losses: means over seeds, and their range. KL climbs slightly earlier than MAE, and both end at the same height. MSE + MAE stays low, with seeds that reach somewhat higher; MSE stays at 10 %, which is chance."}}
RATES = (0.003, 0.01, 0.03)
by_rate = {}
for key, name in NAMES.items():
    for rate in RATES:
        changes = {} if rate == 0.03 else {"student_lr": rate}
        if key != "mae":
            changes["discrepancy"] = key
        by_rate[name, rate] = records.load_records(
            "losses" if changes else "main",
            method="dfad", dataset="digits", changes=changes,
        )  # fmt: skip
pictures.curves(
    {
        n: [r["history"] for r in by_rate[n, 0.03]]
        for n in NAMES.values()
        if by_rate[n, 0.03]
    },
    "accuracy",
    y_label="test accuracy (%)",
)
plt.show()

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
rows, answers = [], {}
for (name, rate), r in by_rate.items():
    answer = ["–", "–", "–"]
    if name != "MAE":
        answer = compare(by_rate["MAE", rate], r, 9)
        answers[name, rate] = answer[2]
    rows.append(
        [name, rate, len(r), mean(r),
         f"{min(m['accuracy_last'] for m in r):.1f}", *answer]
    )  # fmt: skip
assert {answers["KL", rate] for rate in RATES} == {"not resolved"}
assert answers["MSE", 0.03] == answers["MSE + MAE", 0.03] == "resolved"
pictures.table(
    ["loss", "rate", "n", "final (%)", "worst seed", "MAE minus it",
     "95 % CI", "1 of 9 comparisons"],
    rows,
    caption="Final accuracy on digits by loss and learning rate; "
    "differences in points, paired by seed, judged by Bonferroni",
)  # fmt: skip

# %% [markdown]
# The paper's explanation would be gradients that are too small. The next cell watches the first ten stages of MSE at the rate 0.03: the residual, the spread of the student's answers over a batch, and the number of units in its last hidden layer that still depend on the image.

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show what is watched"}
digits = load_dataset("digits")
trained = load_teacher(digits, "lenet5", device="cpu")
noise = torch.randn(64, 100, generator=torch.Generator().manual_seed(9))
no_class = torch.zeros(64, dtype=torch.long)
residuals_seen = []


def collapse(state):
    """What the student answers on a batch."""
    with torch.no_grad():
        x = copy.deepcopy(state.generator)(noise, no_class)
        answers, hidden = state.student(x), state.student.features(x)
        residual = (answers - state.teacher(x)).norm(dim=1).mean()
    alive = (hidden.amax(0) - hidden.amin(0) > 1e-6).sum()
    residuals_seen.append(residual.item())
    print(
        f"stage {state.stage:2d}: residual {residual:6.1f}, spread "
        f"{answers.std(0).mean():.3f}, active units {alive:2d} "
        f"of {hidden.shape[1]}"
    )


done = run.run(
    recipe_for("digits", "dfad").replace(discrepancy="mse"),
    digits, trained, seed=settings.seed, device="cpu",
    precision="float32", observe=collapse,
    until=lambda history: True,  # ends at the first test: 10 stages
)  # fmt: skip
classes, smallest = digits.num_classes, min(residuals_seen)
print(
    f"MSE's gradient in the logits is at least "
    f"{2 * smallest / classes:.1f}, MAE's at most "
    f"{1 / classes**0.5:.2f}"
)
assert 2 * smallest / classes > 1

# %% [markdown]
# The residual grows, the spread of the student's answers stays far below it, and at the end most units of its last hidden layer no longer depend on the image. This is the *other* end of {prf:ref}`thm-dfad-logits`: at large residuals MSE's gradient $2r/C$ is many times MAE's, and the rate was chosen for MAE. A lower rate must then repair it, and the table shows that it does: at 0.003 both losses that contain MSE learn.
#
# The next table takes each loss at the best of its three rates. The rates were chosen on the test accuracy, which favours every loss alike.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
best = {}
for name in NAMES.values():
    best[name] = max(
        ((rate, by_rate[name, rate]) for rate in RATES),
        key=lambda pair: records.mean_interval(
            pair[1], "accuracy_last"
        )[0],
    )
rows = []
for name, (rate, r) in best.items():
    answer = ["–", "–", "–"]
    if name != "MAE":
        answer = compare(best["MAE"][1], r, 3)
        assert answer[2] == "not resolved"
    rows.append(
        [name, rate, mean(r),
         f"{min(m['accuracy_last'] for m in r):.1f}", *answer]
    )  # fmt: skip
pictures.table(
    ["loss", "rate", "final (%)", "worst seed", "MAE minus it",
     "95 % CI", "1 of 3 comparisons"],
    rows,
    caption="Each loss at its best learning rate on digits; differences "
    "in points, paired by seed, judged by Bonferroni",
)  # fmt: skip

# %% [markdown]
# No difference is resolved. What separates the losses in these runs is the range of learning rates that they tolerate. A generator without gradients was not observed, but residuals as small as the paper's argument needs were not reached either.
#
# ```{admonition} Provenance and missing runs
# :class: note, dropdown
# `results/losses.jsonl`, and `results/main.jsonl` for MAE at 0.03, which was made on another model of AMD EPYC: there the same seed can end about a point away, so pairing helps little. A row with fewer than five seeds contains the runs that have a record. A run whose loss becomes infinite leaves none, so the row is too favourable. `workflow/experiments.yml` lists which seeds ran.
# ```

# %% [markdown]
# (sec-dfad-batch)=
# ## Sensitivity to the batch size
#
# The paper asks for large batches, to estimate the discrepancy accurately and to train the generator (its Appendix B and Figure 7). A smaller batch changes three things: the gradient is noisier, the generator's BatchNorm uses fewer images, and at equal numbers of steps **the student sees fewer images**. The first table compares at equal steps, as the paper does. Generator and student have the same batch.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
batches = {
    n: records.arm("batch", "dfad", "digits", batch=n, student_batch=n)
    for n in (16, 32, 64)
}
batches[128] = by_rate["MAE", 0.03]
batches[256] = records.arm(
    "batch", "dfad", "digits", batch=256, student_batch=256
)
rows, answers = [], {}
for n, r in batches.items():
    answer = ["–"] * 3 if n == 128 else compare(r, batches[128], 4)
    answers[n] = answer[2]
    rows.append(
        [
            n,
            f"{r[0]['samples']:,}",
            mean(r),
            mean(r, "kl_last", 3),
            *answer,
        ]
    )
assert answers[16] == "resolved" and answers[256] == "not resolved"
pictures.table(
    ["batch", "images", "final (%)", "KL (nats)", "minus 128's",
     "95 % CI", "1 of 4 comparisons"],
    rows,
    caption="Batch size on digits at equal numbers of steps (five seeds; "
    "differences in points, paired by seed, judged by Bonferroni)",
)  # fmt: skip

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-dfad-batch", "caption": "The same runs over the number of images that the student has seen (means over five seeds). At equal numbers of images small batches are ahead, but they have made more steps and their schedule is closer to its end."}, "image": {"alt": "Test accuracy (%) over the number of images seen by the student, on a logarithmic axis, for batches of 16, 32, 64, 128 and 256: means over seeds. Each curve lies to the right of that of the next smaller batch, so that at equal numbers of images small batches are ahead; only those of 16 and 32 cross, and they end lower."}}
pictures.curves(
    {
        f"batch {n}": [r["history"] for r in group]
        for n, group in batches.items()
    },
    "accuracy",
    y_label="test accuracy (%)",
    x="samples",
    x_label="images seen by the student",
    x_scale="log",
    spread=False,
)
plt.show()


# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
def after(group, images):
    """The records as they were when the student had seen so many."""
    found = []
    for r in group:
        k = r["history"]["samples"].index(images)
        found.append({**r, "then": r["history"]["accuracy"][k]})
    return found


rows = []
for images, small in ((12_800, 16), (25_600, 32), (51_200, 64)):
    here = after(batches[small], images)
    there = after(batches[128], images)
    answer = compare(here, there, 3, "then")
    assert float(answer[0].replace("−", "-")) > 0
    rows.append(
        [f"{images:,}", small, mean(here, "then"), mean(there, "then"),
         *answer]
    )  # fmt: skip
pictures.table(
    ["images", "batch", "accuracy (%)", "128's then (%)", "difference",
     "95 % CI", "1 of 3 comparisons"],
    rows,
    caption="Batch size on digits at equal numbers of images, where the "
    "small batch has ended its schedule",
    texts=1,
)  # fmt: skip

# %% [markdown]
# At equal images the batches of 16 and 32 are ahead. That comparison is unfair in the other direction: the small batch has ended its schedule and made several times the steps, while the large batch is in the middle, at a high learning rate. These records do not separate the number of images from the noise of a small batch, nor the generator's batch from the student's. The paper's claim is about the generator's.

# %% [markdown]
# (sec-dfad-rest)=
# ## Constant learning rates and the best test of a run
#
# On MNIST at the paper's schedule, the final accuracy of our run is well below its best one. The curve shows the reason.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-dfad-rest", "caption": "Test accuracy of one student of DFAD on MNIST at the paper's schedule, with constant learning rates. After a quarter of the stages it no longer improves but moves within a band, and the run happens to end at the bottom of it. The dashed line is the teacher."}, "image": {"alt": "Test accuracy (%) of one student of DFAD on MNIST over 2,000 stages, from 90 upwards. After a quarter of the stages it no longer rises: it swings up and down by a point or two, always below the dashed line of the teacher, and drops at the final test."}}
(own,) = records.arm("paper", "dfad", "mnist")
h = own["history"]
ax = pictures.lines(
    h["stage"],
    {"student": h["accuracy"]},
    x_label="stage (1 generator step, 5 student steps)",
    y_label="test accuracy (%)",
)
ax.axhline(
    own["teacher_accuracy"],
    color=pictures.COLOURS[-1],
    linewidth=0.8,
    linestyle="--",
)
ax.set_ylim(90, 100)
plt.show()
tail = h["accuracy"][len(h["accuracy"]) // 2 :]
print(
    f"teacher {own['teacher_accuracy']:.2f} %; best "
    f"{own['accuracy_best']:.2f} %, final {own['accuracy_last']:.2f} %"
)
print(
    f"second half, {len(tail)} tests: mean {np.mean(tail):.2f} %, "
    f"from {min(tail):.2f} to {max(tail):.2f} %"
)
assert max(tail) > 98.3 and own["accuracy_last"] == min(tail)

# %% [markdown]
# The paper's MNIST schedule has a *fixed* learning rate (its Appendix A.2), and MAE's gradient in the logits does not shrink with the residual. In one dimension the two together do not converge:
#
# ```{prf:theorem} Constant steps do not converge
# :label: thm-dfad-rest
# Minimise $|\theta|$ by $\theta_{t+1} = \theta_t - \eta \operatorname{sign}(\theta_t)$ with constant $\eta > 0$. From every start that is not a multiple of $\eta$, the iterates end in a two-cycle within $(-\eta, \eta)$, and their mean distance from the minimum is $\eta/2$.
# With the square in place of the absolute value and $0 < \eta < 1$, $\theta_t \to 0$.
# ```
#
# ```{prf:proof}
# :class: dropdown
# While $|\theta| > \eta$ a step shortens it by $\eta$. At $0 < \theta < \eta$ the next iterate is $\theta - \eta \in (-\eta, 0)$, and the one after is $\theta$ again; their distances are $\theta$ and $\eta - \theta$, half of $\eta$ on average. For $\theta^2$, $\theta_{t+1} = (1 - 2\eta)\theta_t$ and $|1 - 2\eta| < 1$.
# ```

# %%
for eta in (0.3, 0.03):
    theta = 1.0 / 3 + np.zeros(2)  # |θ| and θ²
    away = []
    for t in range(400):
        theta -= eta * np.array([np.sign(theta[0]), 2 * theta[1]])
        if t >= 200:
            away.append(np.abs(theta))
    on_mae, on_mse = np.mean(away, axis=0)
    print(f"η = {eta}: |θ| stays {on_mae:.4f} away, θ² {on_mse:.0e}")
    assert abs(on_mae - eta / 2) < 1e-9 and on_mse < 1e-4

# %% [markdown]
# Two configurations of five seeds test whether the rates keep the student moving: the paper's constant rates of student and generator, and rates that decrease to zero along a cosine. Everything else is the paper's schedule, except for a generator of an eighth of its width and batches of 128.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-dfad-rates", "caption": "Test accuracy on MNIST with constant learning rates and with rates that decrease along a cosine (means and ranges over five seeds, narrow generator). With decreasing rates the student comes to rest; with constant rates single seeds drop until the end."}, "image": {"alt": "Test accuracy (%) over 2,000 stages on MNIST, from 90 upwards, for constant rates and for rates that fall along a cosine: means over seeds and their range. Both climb alike, to a level between 97 and 98. Under constant rates the mean goes on swinging, with dips of single seeds; under the cosine it becomes a straight line, with a band of constant width, and ends slightly higher, within the other's range."}}
NARROW = {"generator_width": 8, "batch": 128, "student_batch": 128}
rates = {
    name: records.arm("paper", "dfad", "mnist", schedule=name, **NARROW)
    for name in ("constant", "cosine")
}
ax = pictures.curves(
    {
        f"{n} rates": [r["history"] for r in rs]
        for n, rs in rates.items()
    },
    "accuracy",
    y_label="test accuracy (%)",
)
ax.set_ylim(90, 100)
plt.show()


# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
def late(record):
    """Standard deviation of the last tenth of the tests."""
    tests = record["history"]["accuracy"]
    return np.std(tests[-(len(tests) // 10) :], ddof=1)


moves = {n: np.mean([late(r) for r in rs]) for n, rs in rates.items()}
assert moves["constant"] > 10 * moves["cosine"]
answer = compare(rates["cosine"], rates["constant"], 1)
assert answer[2] == "not resolved"
print(
    f"final accuracy, cosine minus constant: Δ = {answer[0]} points "
    f"(95 % CI {answer[1]}, 1 of 1 comparisons): {answer[2]}"
)
pictures.table(
    ["rates", "final (%)", "best minus final",
     "late tests move by (points)"],
    [
        [
            name,
            mean(rs),
            f"{np.mean([r['accuracy_best'] - r['accuracy_last'] for r in rs]):.2f}",
            f"{moves[name]:.2f}",
        ]
        for name, rs in rates.items()
    ],
    caption="Constant and decreasing learning rates on MNIST (five seeds "
    "each). Late tests: standard deviation of a run's last tenth",
)  # fmt: skip

# %% [markdown]
# The rates are the cause, those of student and generator together. With decreasing rates the late tests of a run move by a few hundredths of a point, with constant rates more than ten times as far.
#
# Whether the student then rests at a *higher* accuracy is not resolved. A decreasing rate buys a final test that is reproducible for its seed. The best test of a run hides the band, and nobody can select it without test data. We did not run MSE at constant rates, nor the paper's generator at decreasing ones.

# %% [markdown]
# (sec-dfad-rates)=
# ## The student's rate on CIFAR-10
#
# The comparison at equal compute ([](fig-dfad-ladder)) needs one learning rate for the methods that learn by MAE and one for those that learn by KL. Each was chosen by what DFAD and ABM reach at the end of 0.1 PFLOP, with a seed that no comparison uses.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-dfad-compute", "caption": "CIFAR-10 at 0.1 PFLOP a run: test accuracy along the run, for several learning rates of the student (one run each, seed 9). Learning begins late. DFAD does best at 0.3, three times the paper's rate; ABM does equally well at 0.1 and 0.3, and a rate of 1 keeps it from learning."}, "image": {"alt": "Two panels of test accuracy over PFLOP, one line per learning rate. Left, DFAD: the smallest rate stays at ten per cent, rate 0.3 rises earliest and ends highest of all. Right, ABM: rates 0.1 and 0.3 rise late and end close together, rate 1 stays at ten per cent."}}
trials = {
    name: records.load_records("tuning", method=name)
    for name in ("dfad", "abm")
}
axes = pictures.panels(2, 2, 2.8, sharey=True)[0]
for ax, (name, made) in zip(axes, trials.items(), strict=True):
    for k, r in enumerate(made):
        stage = np.array(r["history"]["stage"])
        asked = r["parameters"]
        ax.plot(
            r["flop"] / 1e15 * stage / stage[-1],
            r["history"]["accuracy"],
            pictures.STYLES[k % 4],
            marker=pictures.MARKERS[k],
            markersize=4,
            label=f"rate {asked['student_lr']}"
            + (", batch 128" if asked["batch"] == 128 else ""),
        )
    ax.set(title=name.upper(), xlabel="PFLOP of the whole run")
    ax.legend(fontsize="small")
axes[0].set(ylabel="test accuracy (%)", ylim=(0, None))
plt.show()

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
pictures.table(
    ["method", "rate", "batch", "teacher (%)", "final (%)"],
    [
        [name.upper(), r["parameters"]["student_lr"],
         r["parameters"]["batch"], f"{r['teacher_accuracy']:.2f}",
         f"{r['accuracy_last']:.2f}"]
        for name, made in trials.items()
        for r in made
    ],
    caption="The trials. The shipped teacher was replaced by a better "
    "one between the runs",
)  # fmt: skip
