# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # AR+VI: proofs and further controls
#
# ```{admonition} Findings
# :class: note
# - On a convex set, only affine functions satisfy Mixup's equation for all pairs. Its penalty measures curvature along chords; for a ReLU network it is a signed sum over the activation boundaries that a chord crosses, exact to rounding.
# - The gradients of $R_l$ and $R_m$ point away from decision and activation boundaries. Only the last layer of the generator bounds $R_m$.
# - In a 2-D toy problem no part of the method needs measurably fewer images than DFAD.
# - Of nine configurations on `digits_half` one is resolved against DFAD: mixtures with $\lambda$ fixed at ½ are *below* it.
# - The search for the weights found no configuration that leads DFAD by more than chance would.
# - On MNIST, DAFL ends far below its published figure, and Adam in place of SGD does not raise it measurably.
# ```
#
# This page belongs to {doc}`../02_arvi` and uses its symbols. It reads records, plays four games on the plane and trains nothing else: under a minute on one thread of a CPU.

# %% tags=["remove-cell"]
if "google.colab" in str(globals().get("get_ipython", str)()): get_ipython().run_line_magic("pip", "install -q dfkd_lib==0.2.0")  # fmt: skip

# %% tags=["parameters"]
seed: int = 0  # of the random pairs and of the four games

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the set-up", "code_prompt_hide": "Hide the set-up"}
from dfkd_lib import check_parameters

settings = check_parameters(globals())

import copy
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from dfkd_lib import (
    load_dataset,
    load_teacher,
    recipe_for,
    records,
    run,
    theory,
)
from dfkd_lib.lab import papers, pictures
from dfkd_lib.methods import arvi
from dfkd_lib.models import embedding_and_logits, grid

rng = np.random.default_rng(settings.seed)
INK = pictures.COLOURS[-1]

moons = load_dataset("moons")
of_moons = load_teacher(moons, "mlp", device="cpu")
exact = copy.deepcopy(of_moons.network).double().eval()
digits = load_dataset("digits")
of_digits = load_teacher(digits, "lenet5", device="cpu").network
lenet = copy.deepcopy(of_digits).double().eval()
two = torch.from_numpy(digits.normalise(digits.x_test[:2])).double()


def mean(group, key, digits=2):
    """Mean over seeds ± half the 95 % interval."""
    value, half = records.mean_interval(group, key)
    return f"{value:.{digits}f} ± {half:.{digits}f}"


def gain(a, b, key="accuracy_last", digits=2):
    """Paired difference a − b over seeds ± half the 95 % interval."""
    value, half, _ = records.paired(a, b, key)
    value = round(value, 6) + 0.0  # never −0.00
    return f"{value:+.{digits}f} ± {half:.{digits}f}".replace("-", "−")


def parts(**changes):
    """Records of AR+VI on digits_half with changed settings."""
    return records.arm("parts", "arvi", "digits_half", **changes)


# %% [markdown]
# (sec-arvi-affine)=
# ## Which functions satisfy Mixup
#
# Mixup asks that $f$ equal its own chord, {eq}`eq-arvi-linearity`. The paper says that "any linear function" does. This is true but incomplete: affine functions do as well, and nothing else does.
#
# ```{prf:theorem} Only affine functions
# :label: thm-arvi-affine
# Let $X \subseteq \R^n$ be convex and $f: X \to \R^C$. Then {eq}`eq-arvi-linearity` holds for all $x, z \in X$ and all $\lambda \in [0,1]$ if and only if $f$ is affine: $f(x) = Wx + \beta$ on $X$.
# If $f$ is continuous, a single $\lambda \in (0, 1)$ for all pairs is enough.
# ```
#
# ```{prf:proof}
# :class: dropdown
# If $f(x) = Wx + \beta$, both sides are $W m + \lambda\beta + (1-\lambda)\beta$.
#
# Conversely, repeated use of {eq}`eq-arvi-linearity` gives $f\big(\sum_i w_i x_i\big) = \sum_i w_i f(x_i)$ for weights $w_i \ge 0$ that sum to one.
# Choose affinely independent $x_0, \dots, x_N \in X$ that span the smallest affine space containing $X$, and the affine map $h$ on it with $h(x_i) = f(x_i)$. Then $f_0 = f - h$ also satisfies {eq}`eq-arvi-linearity` and vanishes on the simplex of the $x_i$.
# Let $x_*$ be the simplex's centre and $y \in X$ any other point. For a small $\varepsilon > 0$ the point $(1-\varepsilon)x_* + \varepsilon y$ still lies in the simplex.
# So $0 = f_0\big((1-\varepsilon)x_* + \varepsilon y\big) = (1-\varepsilon)\,f_0(x_*) + \varepsilon\, f_0(y) = \varepsilon\, f_0(y)$, and $f_0(y) = 0$: $f$ equals $h$ everywhere.
#
# For a single $\lambda_0$, let $\Lambda$ be the set of all $\lambda$ for which {eq}`eq-arvi-linearity` holds for all pairs. It contains $0$, $1$ and $\lambda_0$. With any two of its elements, $\lambda_1$ and $\lambda_2$, it contains $\lambda_0 \lambda_1 + (1-\lambda_0) \lambda_2$, since a mixture of two mixtures of $x$ and $z$ is a mixture of $x$ and $z$.
# For continuous $f$ it is closed. A closed set with a point strictly inside every gap has no gap: $\Lambda = [0, 1]$.
# ```
#
# A network that satisfied Eq. 6 for all pairs of a convex set would be one affine map there, with flat decision boundaries. Constants satisfy it too, so the penalty of Eq. 7 needs a second loss beside it. The method's pairs are generated images, which need not fill a convex set; about those the theorem says nothing. The next cell fits the best affine map to the teacher of the moons.

# %%
x = torch.from_numpy(moons.normalise(moons.x_test)).double()
z = x[torch.randperm(len(x), generator=torch.manual_seed(0))]
lam = torch.from_numpy(rng.uniform(size=len(x)))
square = grid(101).double()
ones = torch.ones(len(square), 1).double()
with torch.no_grad():
    inputs = torch.cat([square.flatten(1), ones], 1)
    A = torch.linalg.lstsq(inputs, exact(square)).solution
    fits = {
        "teacher": exact,
        "its best affine fit": lambda x: x.flatten(1) @ A[:2] + A[2],
    }
    largest = []
    for name, f in fits.items():
        gap = arvi.chord(f(x), f(z), lam) - f(arvi.mixup(x, z, lam))
        largest.append(gap.abs().max().item())
        print(f"{name:20s} largest gap {largest[-1]:.6f} logits")
    answers = [f(x).argmax(1) for f in fits.values()]
agrees = 100 * (answers[0] == answers[1]).double().mean()
print(f"the affine fit agrees with the teacher on {agrees:.1f} %")
assert largest[1] < 1e-12 < largest[0] and agrees < 85

# %% [markdown]
# The affine fit satisfies Eq. 6 to rounding and gives other answers than the teacher on a substantial fraction of the test points.
#
# (sec-arvi-curvature)=
# ## What the penalty measures
#
# The paper minimises the violation of Eq. 6 (Eq. 7):
#
# $$
# \min_f\ \E_{x, z}\ L\big(f(\lambda x + (1-\lambda)z),\ \lambda f(x) + (1-\lambda) f(z)\big) .
# $$ (eq-arvi-seven)
#
# Let $\Gamma_f = \lambda f(x) + (1-\lambda) f(z) - f(m)$ be the gap of $f$, and $g(s) = f\big(z + s(x - z)\big)$ the function along the chord. Position $0$ is $z$, position $1$ is $x$, and the mixture lies at position $\lambda$.
#
# ```{prf:theorem} A gap is curvature under a tent
# :label: thm-arvi-tent
# Let $k(\lambda, t) = \min(\lambda, t)\,\big(1 - \max(\lambda, t)\big)$. As a function of $t$ it is a tent over $[0, 1]$ with its peak at $\lambda$.
#
# 1. If $g$ is twice continuously differentiable, then $\Gamma_f = \int_0^1 k(\lambda, t)\, g''(t)\, dt$.
# 2. If $f$ has a Hessian $H$ at $m$, and the Hessian is Lipschitz on the chord with constant $M$, then per output
#
# $$
# \begin{aligned}
# \Gamma_f &= \tfrac12\,\lambda(1-\lambda)\,(x-z)^\top H\,(x-z) + r, \\
# |r| &\le \tfrac{M}{6}\lambda(1-\lambda)\|x-z\|^3 ;
# \end{aligned}
# $$ (eq-arvi-curvature)
#
# for quadratic $f$ the remainder $r$ is zero.
#
# 3. If $g$ is continuous and piecewise affine, with slope changes $\Delta_j$ at $t_j \in (0, 1)$, then
#
# $$
# \Gamma_f = \sum_j \Delta_j\, k(\lambda, t_j) .
# $$ (eq-arvi-bends)
# ```
#
# ```{prf:proof}
# :class: dropdown
# (3) The gap is linear in $g$, and zero for affine $g$. A piecewise affine $g$ is an affine function plus $\sum_j \Delta_j\,(s - t_j)_+$. The gap of one $(s - t)_+$ is $\lambda(1-t) - (\lambda - t)_+$. For $\lambda \le t$ this is $\lambda(1-t)$; for $\lambda > t$ it is
# $\lambda - \lambda t - \lambda + t = t(1-\lambda)$. Both are $k(\lambda, t)$.
#
# (1) Taylor's formula with integral remainder is $g(s) = g(0) + g'(0)s + \int_0^1 g''(t)\,(s-t)_+\,dt$: the same sum with $g''(t)\,dt$ in place of $\Delta_j$.
#
# (2) Expand around $m$, with $x - m = (1-\lambda)v$, $z - m = -\lambda v$ and $v = x - z$. The first-order terms cancel. The second-order terms are $\tfrac12\big[\lambda(1-\lambda)^2 + (1-\lambda)\lambda^2\big] v^\top H v = \tfrac12\lambda(1-\lambda)\,v^\top H v$.
# The remainders are at most $\tfrac{M}{6}\|v\|^3\big[\lambda(1-\lambda)^3 + (1-\lambda)\lambda^3\big]$, and $(1-\lambda)^2 + \lambda^2 \le 1$.
# ```
#
# So Mixup penalises signed curvature along chords, weighted most where the mixture lies. Two consequences follow.
#
# **The distribution of $\lambda$ sets the scale.** For quadratics the mean gap is proportional to $\E[\lambda(1-\lambda)]$ and the mean square to $\E[\lambda^2(1-\lambda)^2]$. For $\lambda \sim \mathrm{Beta}(a, a)$,
#
# $$
# \begin{aligned}
# \E[\lambda(1-\lambda)] &= \frac{a}{2(2a+1)} , \\
# \E[\lambda^2(1-\lambda)^2] &= \frac{a(a+1)}{4(2a+1)(2a+3)} ,
# \end{aligned}
# $$ (eq-arvi-moments)
#
# which is $1/6$ and $1/30$ for the uniform distribution ($a = 1$). A comparison of distributions of $\lambda$ at one weight $\lambda_{vi}$ also compares weights.
#
# **The penalty is not local.** The paper calls it a local linear regulariser, but the two images may be far apart. For quadratics the gap grows with $\|x-z\|^2$. For a function with Lipschitz constant $K$, such as a ReLU network, it is at most $2\lambda(1-\lambda)\,K\,\|x-z\|$.
#
# The next cell checks the theorem on a random quadratic, the order of the remainder on a tanh, and the moments.

# %%
H = rng.normal(size=(5, 5))
H, w = H + H.T, np.array([1.0, -0.5, 0.3, 0.2, -0.7])
x, z = rng.normal(size=(2, 1000, 5))
lam = rng.uniform(size=1000)


def quadratic(x):
    return 0.5 * np.einsum("ni,ij,nj->n", x, H, x) + x.sum(1)


def gap_of(f, x, z):
    m = lam[:, None] * x + (1 - lam[:, None]) * z
    return lam * f(x) + (1 - lam) * f(z) - f(m)


v = x - z
formula = 0.5 * lam * (1 - lam) * np.einsum("ni,ij,nj->n", v, H, v)
error = np.abs(gap_of(quadratic, x, z) - formula).max()
assert error < 1e-11
print("quadratic: the gap equals the formula to 1e-11")

rests, u = [], np.tanh(0.3 * w.sum())
for size in (0.1, 0.05, 0.025):  # chords around one centre
    near = 0.3 + size * (1 - lam[:, None]) * v
    far = 0.3 - size * lam[:, None] * v
    second = -2 * u * (1 - u**2) * (v @ w * size) ** 2
    direct = gap_of(lambda x: np.tanh(x @ w), near, far)
    rests.append(np.abs(direct - lam * (1 - lam) * second / 2).max())
    print(f"tanh, chords × {size:5.3f}: remainder {rests[-1]:.1e}")
assert rests[0] / rests[1] > 7 and rests[1] / rests[2] > 7

for a in (0.5, 1.0, 4.0):
    lam = rng.beta(a, a, size=1_000_000)
    first = a / (2 * (2 * a + 1))
    square = a * (a + 1) / (4 * (2 * a + 1) * (2 * a + 3))
    assert abs((lam * (1 - lam)).mean() - first) < 1e-3
    assert abs(((lam * (1 - lam)) ** 2).mean() - square) < 1e-3
    print(f"Beta({a}, {a}): E[λ(1−λ)] {first:.4f}, square {square:.4f}")

# %% [markdown]
# Half the chord leaves an eighth of the remainder: it is of third order.
#
# (sec-arvi-relu)=
# ## Activation boundaries are bends
#
# A ReLU network has a zero Hessian wherever the Hessian exists, but its gap is not zero. All its curvature lies in bends.
#
# ```{prf:corollary} Bends of a ReLU network
# :label: thm-arvi-relu
# Let $f$ be the logits of a network of affine layers, ReLUs and max-pools, in evaluation mode, where BatchNorm is affine. Along any chord it is continuous and piecewise affine with finitely many bends, so its gap is exactly {eq}`eq-arvi-bends`. A bend can only be where a unit's input changes its sign, or where a max-pool changes its winner.
# ```
#
# ```{prf:proof}
# :class: dropdown
# Layer by layer: an affine layer keeps a piecewise affine function piecewise affine and adds no bend. A ReLU, or a maximum of finitely many affine pieces, adds at most finitely many bends, at the positions named.
# ```
#
# Crossing an activation boundary thus costs $\Delta_j\,k(\lambda, t_j)$. The sum is signed: bends in opposite directions cancel, and a small gap does not mean few boundaries. If all later layers are inactive, a boundary is crossed without a bend.
#
# The next cells find the switching positions layer by layer and compare {eq}`eq-arvi-bends` with the gap at 200 random positions, for the MLP of the moons and for the LeNet-5 of the digits.


# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show how the bends are found"}
@torch.no_grad()
def bends(network, x, z):
    """Where a layer's units switch between z (0) and x (1), exactly.

    A ReLU switches where its input changes sign, a max-pool where
    another input becomes the largest. Between known positions the
    input h of a layer is affine.
    """
    s, h = torch.tensor([0.0, 1.0], dtype=x.dtype), torch.stack([z, x])
    found = {}
    for index, layer in enumerate(network.features):
        if isinstance(layer, torch.nn.ReLU | torch.nn.MaxPool2d):
            if isinstance(layer, torch.nn.ReLU):
                new = zeros(s, h.flatten(1))[0].sort().values
            else:
                new = swaps(s, h, layer.kernel_size)
            found[f"{index} {type(layer).__name__.strip('2d')}"] = new
            merged = torch.cat([s, new]).unique()
            right = torch.searchsorted(s, merged).clamp(1, len(s) - 1)
            part = merged - s[right - 1]
            part = part / (s[right] - s[right - 1])
            part = part.reshape(-1, *[1] * (h.ndim - 1))
            s, h = merged, h[right - 1].lerp(h[right], part)
        h = layer(h)
    return found


def zeros(s, u):
    """Where columns of u, affine between the s, change sign."""
    at, unit = torch.where(u[:-1] * u[1:] < 0)
    low, high = u[at, unit], u[at + 1, unit]
    part = low / (low - high)
    return s[at] + (s[at + 1] - s[at]) * part, at, unit, part


def swaps(s, h, size):
    """Where two inputs of a window are its equal largest ones."""
    windows = h.unfold(2, size, size).unfold(3, size, size)
    windows = windows.reshape(len(h), -1, size**2)
    found = []
    for i, j in torch.combinations(torch.arange(size**2)).tolist():
        u = windows[..., i] - windows[..., j]
        where, at, window, part = zeros(s, u)
        ends = windows[at, window], windows[at + 1, window]
        here = torch.lerp(*ends, part[:, None])
        found.append(where[here[:, i] >= here.amax(1) - 1e-12])
    return torch.cat(found).sort().values


@torch.no_grad()
def along(network, x, z, positions):
    """The network's logits at positions between z (0) and x (1)."""
    return network(z + positions[:, None, None, None] * (x - z))


def sum_of_bends(network, x, z, found):
    """The gaps at random positions, and what the bends sum to."""
    t = torch.cat(found).unique()
    ends = torch.tensor([0.0, 1.0], dtype=t.dtype)
    at = torch.cat([ends[:1], t, ends[1:]])
    values = along(network, x, z, at).numpy()
    changes = theory.slope_changes(t.numpy(), values)
    lam = np.random.default_rng(1).uniform(size=200)
    direct = -along(network, x, z, torch.from_numpy(lam)).numpy()
    direct += lam[:, None] * values[-1] + (1 - lam[:, None]) * values[0]
    return direct, theory.gap_of_bends(lam, t.numpy(), changes)


# %%
pair = torch.tensor([[2.2, -0.6], [-2.2, 1.2]]).double()[
    ..., None, None
]
cases = {  # name: network, both ends, and layers to leave out
    "moons, MLP": (exact, *pair, ["1 ReLU", "3 ReLU"]),
    "digits, LeNet-5": (lenet, *two, ["4 ReLU", "5 MaxPool"]),
}
for name, (network, x, z, layers) in cases.items():
    found = bends(network, x, z)
    direct, summed = sum_of_bends(network, x, z, [*found.values()])
    wrong = np.abs(summed - direct).max()
    print(
        f"{name}: {sum(map(len, found.values()))} boundaries, largest "
        f"gap {np.abs(direct).max():.2f} logits"
    )
    assert wrong < 1e-11
    print("   the sum of all bends equals the gap to 1e-11")
    for layer in layers:
        kept = [t for k, t in found.items() if k != layer]
        direct, summed = sum_of_bends(network, x, z, kept)
        wrong = np.abs(summed - direct).max()
        print(f"   without those of {layer}: wrong by {wrong:.0e}")
        assert wrong > 1e-6

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-arvi-bends", "caption": "The chord of the chapter's second figure with its bends. The teacher's logit difference is affine between ticks, and each tick is the crossing of an activation boundary. The gap between the dashed chord and the curve is the sum of all bends under the tent."}, "image": {"alt": "Difference of two logits over the position on a chord, from 0 to 1: a curve made of straight pieces that rises, falls and rises again, with a tick wherever two pieces meet, and a straight dashed line between its ends."}}
found = bends(exact, *pair)
t = torch.cat([*found.values()]).unique()
position = torch.linspace(0, 1, 401).double()
profile, at_bends = (
    along(exact, *pair, s).diff(dim=1)[:, 0].numpy()
    for s in (position, t)
)
ax = plt.figure(figsize=(6.4, 2.8)).add_subplot()
ax.plot(position, profile, label="teacher")
ax.plot(t, at_bends, "C2|", markersize=9, label="bends")
ax.plot([0, 1], profile[[0, -1]], "C1--", label="chord")
ax.axhline(0, color=INK, linewidth=0.8)
ax.set(xlabel=r"position $\lambda$", ylabel="logit 1 − logit 0")
ax.legend()
plt.show()

# %% [markdown]
# (sec-arvi-square)=
# ## The bias of the quadratic teacher
#
# The chapter's example is $T(x) = x^2$ with $x, z \sim U(-1, 1)$ and $\lambda \sim U(0, 1)$. Change variables from $(x, z)$ to $(m, v)$ with $v = x - z$; the determinant is 1. Given $m$ and $\lambda$, $v$ is uniform on $[-A, B]$ with $B = \min\big(\frac{1-m}{1-\lambda}, \frac{1+m}{\lambda}\big)$, and $A$ is the same with $\lambda$ and $1-\lambda$ exchanged. The gap is $\lambda(1-\lambda)v^2$, so
#
# $$
# \begin{aligned}
# b(m) &= \frac{\int_0^1 \lambda(1-\lambda)\,\tfrac13 (A^3 + B^3)\, d\lambda}{\int_0^1 (A + B)\, d\lambda} \\
# &= \frac43 \cdot \frac{pq + p^3\ln p + q^3 \ln q}{-p\ln p - q\ln q} , \qquad p = \tfrac{1+m}2,\ q = 1 - p .
# \end{aligned}
# $$ (eq-arvi-square)
#
# The integrals of $A$ and of $B$ are twice the last denominator each, which is the entropy of a coin and the density of $m$. At $m = 0$ the bias is $(1 - \ln 2)/(3 \ln 2)$. The next cell compares the closed form with quadrature and also computes the bias under the absolute error, the median of the gap.

# %%
m = np.linspace(-0.995, 0.995, 100)
p, q = (1 + m) / 2, (1 - m) / 2
cubes = p * q + p**3 * np.log(p) + q**3 * np.log(q)
bias = 4 / 3 * cubes / (-p * np.log(p) - q * np.log(q))

lam = (np.arange(20_000) + 0.5) / 20_000
low, high = 1 - m[:, None], 1 + m[:, None]
B = np.minimum(low / (1 - lam), high / lam)
A = np.minimum(high / (1 - lam), low / lam)
top = (lam * (1 - lam) * (A**3 + B**3) / 3).sum(1)
error = np.abs(top / (A + B).sum(1) - bias).max()
assert error < 1e-6
print("closed form equals quadrature to 1e-6")

medians, part = [], (np.arange(200) + 0.5) / 200
for a, b in zip(A[:, ::80], B[:, ::80], strict=True):
    v = -a[:, None] + (a + b)[:, None] * part
    gap = (lam[::80, None] * (1 - lam[::80, None]) * v**2).ravel()
    weight, order = np.repeat(a + b, len(part)), gap.argsort()
    below = weight[order].cumsum() / weight.sum()
    medians.append(gap[order][below.searchsorted(0.5)])
print(
    f"largest bias: squared error {bias.max():.3f}, absolute error "
    f"{max(medians):.3f}"
)
assert max(medians) < bias.max()

# %% [markdown]
# The absolute error, which our student minimises, has the smaller bias here, since most gaps are small.
#
# (sec-arvi-decomposition)=
# ## Images and mixtures in one loss
#
# In the method the student also sees the images themselves, with the teacher's own answers. Let images have density $p_G$ and mixtures density $p_m$. Under squared errors the minimiser of {eq}`eq-arvi-sum` keeps a fraction of the bias:
#
# $$
# S^*(x) = T(x) + \frac{\lambda_{vi}\, p_m(x)}{p_G(x) + \lambda_{vi}\, p_m(x)}\ b(x) .
# $$ (eq-arvi-compromise)
#
# To see this, complete the square at each $x$. Where no image falls, for example between two clusters, the student learns the whole bias, however small the weight.
#
# Our runs use the absolute error. There the best $S^*(x)$ is, class by class, a weighted median: of $T(x)$ with weight $p_G(x)$, and of the chords' labels with total weight $\lambda_{vi}\, p_m(x)$. Where $p_G > \lambda_{vi}\, p_m$, the teacher's answer has more than half of the weight and the minimiser is $T(x)$, without bias.
#
# (sec-arvi-push)=
# ## Where the regularisers push
#
# ```{prf:theorem} The logit regulariser widens every margin
# :label: thm-arvi-logit
# For one image, let $l = T(x)$, $\pi$ its softmax, $\hat y$ its largest class (no ties), $R_l = -\log \pi_{\hat y}$. Then
#
# $$
# \nabla_l R_l = \pi - e_{\hat y}, \qquad \|\nabla_l R_l\| \le \sqrt2\,(1 - \pi_{\hat y}) \le \sqrt2\, R_l .
# $$ (eq-arvi-onehot)
#
# A step against this gradient, in logits, increases each margin $l_{\hat y} - l_c$ at the rate $(1 - \pi_{\hat y}) + \pi_c > 0$.
# ```
#
# ```{prf:proof}
# :class: dropdown
# $-\log \pi_{\hat y} = \log\sum_c e^{l_c} - l_{\hat y}$, whose derivative in $l_c$ is $\pi_c - [c = \hat y]$. Its squared norm is $(1-\pi_{\hat y})^2 + \sum_{c \ne \hat y} \pi_c^2 \le 2(1-\pi_{\hat y})^2$, and $1 - \pi_{\hat y} \le -\log \pi_{\hat y}$. The rate of $l_{\hat y} - l_c$ along $-\nabla$ is $(1 - \pi_{\hat y}) + \pi_c$.
# ```
#
# In logits, $R_l$ therefore pushes away from the decision boundary, and the push vanishes where the teacher is certain. The generator's step passes through the derivatives of the teacher and of the generator and averages over a batch, so the theorem gives a direction and not an outcome; the outcome is measured below.
#
# $R_m$ asks for large features. After a ReLU, $\Phi_T \ge 0$ and $R_m = -\sum_i \Phi_i$: active units are pushed further from zero, which is away from *their* activation boundary, and inactive units get no gradient.
#
# ```{prf:theorem} A bound for the feature regulariser
# :label: thm-arvi-features
# 1. If the features of some ray grow, $\|\Phi_T(\kappa x)\|_1 \to \infty$ as $\kappa \to \infty$, then $R_m$ over all images has no lower bound.
# 2. If $\|\Phi_T(x) - \Phi_T(x')\|_1 \le K\|x - x'\|_2$, and the generator ends in a BatchNorm without affine part, then for every batch of images of $n$ numbers each
#
# $$
# R_m \ge -\|\Phi_T(0)\|_1 - K\sqrt n .
# $$ (eq-arvi-floor)
# ```
#
# ```{prf:proof}
# :class: dropdown
# (1) is immediate. (2) Such a BatchNorm makes each channel's mean zero and its mean square at most one, over batch and pixels. So the batch mean of $\|x\|_2^2$ is at most $n$, and by Jensen's inequality that of $\|x\|_2$ is at most $\sqrt n$. Then $\|\Phi_T(x)\|_1 \le \|\Phi_T(0)\|_1 + K\|x\|_2$.
# ```
#
# The paper does not bound $R_m$; DFAD's generator, which ends in this BatchNorm, does. On the plane our generator is an invertible flow whose last map squashes all points into a square, which bounds $R_m$ too. The next cell checks the gradient by automatic differentiation, the rays on LeNet-5, and the bound with a product of spectral norms for $K$.

# %%
logits = torch.tensor(5 * rng.normal(size=(1000, 10)))
logits.requires_grad_(True)
(arvi.logit_activation(logits) * len(logits)).backward()
expected = theory.one_hot_gradient(logits.detach().numpy())
error = np.abs(logits.grad.numpy() - expected).max()
p_max = logits.detach().softmax(1).amax(1).numpy()
room = math.sqrt(2) * (1 - p_max) - np.linalg.norm(expected, axis=1)
assert error < 1e-12 and room.min() > -1e-12
print("gradient of R_l: autograd equals the formula to 1e-12")

shape, lipschitz = (1, 32, 32), math.sqrt(84)  # 84 features, 1-norm
with torch.no_grad():
    for c in (1, 10, 100):
        features, _ = embedding_and_logits(lenet, c * two[:1])
        print(f"R_m of {c:3d} × a digit: {-features.sum():.0f}")
    for layer in lenet.features:
        at_zero = layer(torch.zeros(1, *shape).double())
        if list(layer.parameters()):  # an affine layer, as a matrix
            basis = torch.eye(math.prod(shape)).double()
            matrix = layer(basis.reshape(-1, *shape)) - at_zero
            matrix = matrix.flatten(1)
            wide = matrix.shape[1] > matrix.shape[0]
            gram = matrix @ matrix.T if wide else matrix.T @ matrix
            lipschitz *= torch.linalg.eigvalsh(gram)[-1].sqrt().item()
        shape = at_zero.shape[1:]
    at_black = embedding_and_logits(lenet, torch.zeros_like(two[:1]))[0]
    bound = -at_black.sum().item() - lipschitz * math.sqrt(32 * 32)
    noise = torch.tensor(rng.normal(size=(32, 1, 32, 32)))
    noise = torch.nn.functional.batch_norm(
        noise, None, None, training=True
    )
    features, _ = embedding_and_logits(lenet, noise)
    reached = arvi.feature_activation(features).item()
print(f"R_m of normalised noise {reached:.0f}, bound {bound:.0f}")
assert bound <= reached

# %% [markdown]
# ### Measured on the plane
#
# The next cells play the game of {eq}`eq-arvi-sum` on the two moons with one regulariser at a time and a large weight, and with our weights. At the end they measure the generated points: the teacher's margin, the distance to the nearest decision and activation boundary, and the features. One seed each.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the helpers"}
SIDE = 401
fine = grid(SIDE).double()
with torch.no_grad():
    decision = exact(fine).diff(dim=1).T.reshape(1, SIDE, SIDE)
    units, h = [], fine  # of each hidden unit, its ReLU's input
    for layer in exact.features:
        if isinstance(layer, torch.nn.ReLU):
            units.append(h.flatten(1))
        h = layer(h)
    units = torch.cat(units, 1).T.reshape(-1, SIDE, SIDE)


def cloud(state, n=1000):
    """Points of the state's generator, always of the same noise."""
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        return state.generator(torch.randn(n, 2, generator=noise))


def nearest(functions, points):
    """The median distance to a sign change, to a cell of the grid."""
    signs = functions > 0
    wall = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    wall[1:] |= (signs[:, 1:] != signs[:, :-1]).any(0)
    wall[:, 1:] |= (signs[:, :, 1:] != signs[:, :, :-1]).any(0)
    away = distance_transform_edt(~wall.numpy()) * 6 / SIDE
    cells = ((points.flatten(1) + 3) / 6 * SIDE).int()
    x, y = cells.clip(0, SIDE - 1).T.numpy()
    return np.median(away[y, x])


OFF = {"lambda_l": 0.0, "lambda_m": 0.0, "lambda_vi": 0.0}
VI = {"lambda_l": 0.0, "lambda_m": 0.0}

# %% tags=["nbval-ignore-output"]
played = {
    "DFAD": OFF,
    "R_l, weight 10": {**OFF, "lambda_l": 10.0},
    "R_m, weight 1": {**OFF, "lambda_m": 1.0},
    "AR+VI, our weights": {},
}
games = {}
for name, changes in played.items():
    game = recipe_for("moons", "arvi").replace(**changes)
    games[name] = run.run(game, moons, of_moons, seed=settings.seed)

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the code of the table"}
rows, margins = [], {}
for name, done in games.items():
    points = cloud(done.state)
    with torch.no_grad():
        f, logits = embedding_and_logits(done.state.teacher, points)
    margin = logits.diff(dim=1).abs().median().item()
    margins[name] = (
        margin,
        nearest(decision, points),
        nearest(units, points),
    )
    rows.append(
        [
            name,
            f"{margin:.1f}",
            f"{margins[name][1]:.2f}",
            f"{margins[name][2]:.3f}",
            f"{f.abs().sum(1).mean():.1f}",
            f"{done.history.agreement[-1]:.1f}",
        ]
    )
if settings.seed == 0:
    for name in ("R_l, weight 10", "R_m, weight 1"):
        assert all(np.greater(margins[name], margins["DFAD"]))
pictures.table(
    [
        "configuration",
        "margin",
        "to decision b.",
        "to activation b.",
        "features (1-norm)",
        "agreement (%)",
    ],
    rows,
    caption="Generated points at the end of four games, two moons, one "
    "seed. Margin (logits) and distances: medians of 1,000 points.",
)

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-arvi-clouds", "caption": "Generated points (pink) over the regions of the teacher's two classes, at the end of four games on the two moons. At a large weight both regularisers move the points away from the boundary between the regions; at our weights the points cover the square as with DFAD. One seed."}, "image": {"alt": "Four maps of the plane with the regions of the teacher's two classes and generated points. With DFAD and with AR+VI at our weights the points cover the square; with the logit regulariser at weight 10 they gather away from the boundary; with the feature regulariser at weight 1 nearly all lie at the edge of the square."}}
axes = pictures.panels(4, 4, 1.7, sharex=True, sharey=True)
side = np.linspace(-3, 3, SIDE)
shade = {"colors": [pictures.COLOURS[1], pictures.COLOURS[0]]}
for ax, (name, done) in zip(axes.flat, games.items(), strict=True):
    ax.contourf(
        side, side, decision[0], [-1e9, 0, 1e9], alpha=0.3, **shade
    )
    points = cloud(done.state, 300).flatten(1).T
    ax.plot(*points, ".", color=pictures.COLOURS[3], markersize=3)
    ax.set(aspect=1, xlim=(-3, 3), ylim=(-3, 3))
    title = name.replace("R_l", "$R_l$").replace("R_m", "$R_m$")
    ax.set_title(title.replace(", ", ",\n"), fontsize=9)
    ax.grid(visible=False)
axes[0, 0].figure.supxlabel("first coordinate", fontsize=10)
axes[0, 0].figure.supylabel("second", fontsize=10)
plt.show()

# %% [markdown]
# (sec-arvi-link)=
# ### Boundaries crossed by chords
#
# The paper connects its two ideas: the regularisers are about activation boundaries, and interpolation makes samples between decision boundaries, which consist of those. If so, the regularisers should change how many boundaries a chord between two generated points crosses. `bends` counts them.

# %% tags=["hide-input", "nbval-ignore-output"] mystnb={"code_prompt_show": "Show the code of the table"}
middle = (torch.arange(32).double() + 0.5) / 32
rows = []
for name, done in games.items():
    points, each = cloud(done.state, 200).double(), []
    for x, z in zip(points[:100], points[100:], strict=True):
        count = sum(map(len, bends(exact, x, z).values()))
        ends = along(exact, x, z, torch.tensor([0.0, 1.0]).double())
        at_z, at_x = ends[:, None].expand(-1, 32, -1)
        gap = arvi.chord(at_x, at_z, middle)
        gap = (gap - along(exact, x, z, middle)).abs().mean().item()
        length = (x - z).norm().item()
        each.append([count, length, count / length, gap])
    row = [name]
    for column, digits_ in zip(
        np.transpose(each), (0, 2, 1, 2), strict=True
    ):
        value, half = theory.mean_interval(column)
        row.append(f"{value:.{digits_}f} ± {half:.{digits_}f}")
    rows.append(row)
pictures.table(
    [
        "configuration",
        "crossed",
        "length",
        "crossed per length",
        "mean gap (logits)",
    ],
    rows,
    caption="Activation boundaries on 100 chords between generated "
    "points, two moons, one seed; ± half a 95 % interval over chords.",
)

# %% [markdown]
# At our weights no column changes by much. With $R_m$ at weight 1 the chords cross fewer boundaries per unit of length and have a smaller gap, in this one game: the opposite of what the connection needs.
#
# (sec-arvi-moons)=
# ## Images needed in the toy problem
#
# "Data generation efficiency" is the paper's word, without a number. Ours: how many images must be drawn until the student agrees with its teacher on 95 % or 98 % of the test points. Eight seeds each.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-arvi-moons", "caption": "Agreement with the teacher on the two moons over the images drawn from the generator, mean of eight seeds. The four curves nearly coincide and cross the levels of 95 % and 98 % at about the same number of images."}, "image": {"alt": "Agreement with the teacher in percent over the images drawn from the generator, mean of eight seeds, for DFAD, the two regularisers, virtual interpolation, and all parts. The four lines nearly coincide, cross two horizontal lines at 95 and 98 percent together, and end just below 100 percent."}}
PARTS = {
    "DFAD": OFF,
    "R_l and R_m": {"lambda_vi": 0.0},
    "VI": VI,
    "all": {},
}
plane = {
    name: records.arm(
        "moons_parts", "arvi", "moons", stages_per_epoch=5, **changes
    )
    for name, changes in PARTS.items()
}
ax = pictures.curves(
    {n: [r["history"] for r in rs] for n, rs in plane.items()},
    "agreement",
    x="samples",
    x_label="images drawn from the generator",
    y_label="agreement with the teacher (%)",
    spread=False,
)
for level in (95, 98):
    ax.axhline(level, color=INK, linewidth=0.5)
plt.show()

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
for group in plane.values():
    for r in group:
        h = r["history"]
        for level in (95, 98):
            there = np.array(h["agreement"]) >= level
            assert there.any()
            r[f"until {level}"] = h["samples"][there.argmax()] / 1000
base = plane["DFAD"]
rows = []
for name, group in plane.items():
    row = [name]
    for key in ("until 95", "until 98"):
        row.append(mean(group, key, 1))
        if group is base:
            row.append("–")
            continue
        before, _ = records.mean_interval(base, key)
        value, half, _ = records.paired(group, base, key)
        assert abs(value) < half
        low, high = (100 * (value + d) / before for d in (-half, half))
        row.append(f"{low:+.0f} to {high:+.0f}".replace("-", "−"))
    rows.append([*row, mean(group, "agreement_last")])
pictures.table(
    [
        "configuration",
        "until 95 %",
        "change (%)",
        "until 98 %",
        "change (%)",
        "final agreement (%)",
    ],
    rows,
    caption=f"Thousand images until an agreement, n = {len(base)} seeds. "
    "Change: 95 % interval of the paired difference to DFAD, in percent "
    "of DFAD's mean; 6 comparisons.",
)

# %% [markdown]
# No interval excludes zero, before any correction. Each excludes a halving and leaves room for a saving of about a tenth.
#
# (sec-arvi-parts)=
# ## What each part adds
#
# The paper's Figure 2 (c, d) switches its parts on one by one, apparently with one run each. Here every part runs alone and together with the others on `digits_half`, whose 899 test images make one image worth 0.11 points. All configurations draw the same number of images. The lower rows vary the distribution of $\lambda$, the labels and the step size.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
nothing = parts(**OFF)
kinds = {
    "R_l": parts(lambda_m=0.0, lambda_vi=0.0),
    "R_m": parts(lambda_l=0.0, lambda_vi=0.0),
    "R_l and R_m": parts(lambda_vi=0.0),
    "VI: U(0, 1), chord": parts(**VI),
    "VI: Beta(½, ½), chord": parts(**VI, mixup="beta"),
    "VI: λ = ½, chord": parts(**VI, mixup="fixed"),
    "VI: U(0, 1), own labels": parts(**VI, mixup_labels="teacher"),
    "all": parts(),
    "DFAD, rate × 1.3": parts(**OFF, student_lr=0.039),
}
everyone = [nothing, *kinds.values()]
assert len({r["samples"] for rs in everyone for r in rs}) == 1
found = [
    n
    for n, r in kinds.items()
    if records.difference(r, nothing, len(kinds)).resolved
]
assert found == ["VI: λ = ½, chord"]
rows = [
    ["DFAD", mean(nothing, "accuracy_last"), "–", "–", "–", "–"],
    *(
        [
            name,
            mean(r, "accuracy_last"),
            gain(r, nothing),
            "yes" if name in found else "no",
            gain(r, nothing, "agreement_last"),
            gain(r, nothing, "kl_last", 3),
        ]
        for name, r in kinds.items()
    ),
]
pictures.table(
    [
        "configuration",
        "accuracy (%)",
        "Δ accuracy",
        "resolved",
        "Δ agreement",
        "Δ KL (nats)",
    ],
    rows,
    caption=f"digits_half, n = {len(nothing)} seeds. Δ: paired "
    "difference to DFAD ± half a 95 % interval. Resolved: accuracy at "
    f"Bonferroni's level for {len(kinds)} comparisons.",
)

# %% [markdown]
# The regularisers make no measurable difference. All configurations with mixtures lean below DFAD. All parts together are below it in accuracy, agreement and KL with intervals that exclude zero one by one; the accuracy is not resolved after the correction, and three metrics on the same runs are not independent evidence. The intervals cover seeds, not the choice of the 899 test images.
#
# No part gets there sooner either. The next table compares the accuracy after a quarter and after half of the images.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
total, rows = nothing[0]["samples"], []
for r in (r for group in everyone for r in group):
    h = r["history"]
    for part in (4, 2):
        i = np.searchsorted(h["samples"], total // part, side="right")
        r[f"at 1/{part}"] = h["accuracy"][max(i - 1, 0)]
for name in ("R_l", "R_m", "R_l and R_m", "VI: U(0, 1), chord", "all"):
    keys = ("at 1/4", "at 1/2")
    rows.append([name, *(gain(kinds[name], nothing, k) for k in keys)])
    for k in keys:
        value, half, _ = records.paired(kinds[name], nothing, k)
        assert abs(value) < half
pictures.table(
    ["configuration", "after a quarter", "after half"],
    rows,
    caption=f"digits_half, n = {len(nothing)} seeds: accuracy minus "
    f"DFAD's (points) on the way to {total:,} images; 10 comparisons.",
)

# %% [markdown]
# (sec-arvi-search)=
# ## Search for the weights
#
# The paper prints no weight. We searched each term alone at one to three weights, then together, on digits with two seeds each, by the test accuracy.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-arvi-search", "caption": "Final accuracy on digits in the search, a dot for each of two seeds. Shaded: the range of five seeds of DFAD from another experiment. Most dots lie in the range or near it; the feature regulariser at weight 0.01 is far below."}, "image": {"alt": "Final test accuracy in percent for twelve settings of the three weights, a row each and a dot per seed, with a shaded band for the range of DFAD over five seeds. Most dots lie in or near the band; both seeds of the feature regulariser at weight 0.01 lie far to its left."}}
names = {"lambda_l": "R_l", "lambda_m": "R_m", "lambda_vi": "VI"}
found = {}
for r in records.load_records("arvi", method="arvi"):
    p = r["parameters"]
    on = [f"{n} {p[w]:g}" for w, n in names.items() if p[w]]
    if p["lambda_vi"] and p["mixup"] != "uniform":
        on.append("Beta" if p["mixup"] == "beta" else "λ = ½")
    if p["mixup_labels"] != "chord":
        on.append("own labels")
    name = ", ".join(on) or "DFAD"
    found.setdefault(name, []).append(r["accuracy_last"])
five = [
    r["accuracy_last"] for r in records.arm("main", "dfad", "digits")
]
ax = plt.figure(figsize=(6.4, 3.8)).add_subplot()
ax.axvspan(min(five), max(five), color=pictures.COLOURS[0], alpha=0.15)
for row, values in enumerate(found.values()):
    ax.plot(values, [-row] * len(values), "o", color="C0")
ax.set(
    yticks=-np.arange(len(found)),
    yticklabels=list(found),
    xlabel="final test accuracy (%)",
)
plt.show()

# %%
means = {name: np.mean(v) for name, v in found.items()}
best = max(means, key=means.get)
close = [v for v in found.values() if np.mean(v) > 92]
spread = math.sqrt(np.mean([np.var(v, ddof=1) for v in close]))
draws = np.random.default_rng(0).normal(size=(100_000, len(close)))
luck = draws.max(1).mean() * spread / math.sqrt(2)
lead = means[best] - means["DFAD"]
print(
    f"best of {len(found)} configurations: {best}, {means[best]:.2f} %, "
    f"DFAD {means['DFAD']:.2f} %: a lead of {lead:.2f} points"
)
print(
    f"the best of {len(close)} equal configurations would lead their "
    f"mean by {luck:.2f} points"
)
assert lead < luck

# %% [markdown]
# The lead of the best configuration over DFAD is smaller than chance alone would produce. So our weights are not better than other small weights, or than none.
#
# (sec-arvi-few)=
# ## Against methods with data
#
# The paper's Figure 2 (a) compares its method with methods that use less and less of the data. We repeat this on `digits_half` with three seeds. KD and FitNet use images without labels; AT and FT use labels too. The teacher has seen all of the data in every case.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-arvi-few", "caption": "Final accuracy over the number of training images that the student sees, n = 3 seeds with 95 % intervals. The horizontal lines are AR+VI and DFAD without data (n = 6). KD, AT and FT reach the data-free level at about a hundred to two hundred images. FitNet, as we run it, fails."}, "image": {"alt": "Test accuracy in percent over the number of training images that the student sees, on a logarithmic axis, with intervals, for KD, FitNet, AT and FT, and two level lines for AR+VI and DFAD without data. KD, AT and FT climb and reach the level lines at the third of four numbers; FitNet stays far below with very wide intervals."}}
FRACTIONS = (0.02, 0.05, 0.2, 1.0)
count = len(load_dataset("digits_half").x_train)
baselines = {"kd_ori": "KD", "fitnet": "FitNet", "at": "AT", "ft": "FT"}
few = {
    name: [
        records.load_records(
            "few_images",
            method=m,
            dataset="digits_half",
            changes={"data_share": fraction},
        )
        for fraction in FRACTIONS
    ]
    for m, name in baselines.items()
}
ax = pictures.means_over(
    [fraction * count for fraction in FRACTIONS],
    {
        name: [records.mean_interval(r, "accuracy_last") for r in rs]
        for name, rs in few.items()
    },
    x_label=f"training images that the student sees, of {count}",
    y_label="test accuracy (%)",
)
for name, r, style in (("AR+VI", parts(), "-"), ("DFAD", nothing, ":")):
    level, _ = records.mean_interval(r, "accuracy_last")
    ax.axhline(level, color=INK, linestyle=style, label=name)
ax.legend(fontsize=9, loc="lower left", bbox_to_anchor=(0.35, 0))
ax.set_ylim(0, 100)
plt.show()

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
level, _ = records.mean_interval(parts(), "accuracy_last")
above = {
    name: [sum(r["accuracy_last"] > level for r in rs) for rs in groups]
    for name, groups in few.items()
}
for name in ("KD", "AT", "FT"):
    assert above[name][:2] == [0, 0] and above[name][3] == 3
pictures.table(
    ["images", *few],
    [
        [
            round(fraction * count),
            *(
                f"{mean(groups[i], 'accuracy_last', 1)} "
                f"({above[name][i]} of {len(groups[i])})"
                for name, groups in few.items()
            ),
        ]
        for i, fraction in enumerate(FRACTIONS)
    ],
    caption="Final accuracy (%) ± half a 95 % interval, and how many "
    f"seeds are above AR+VI's mean without data, {level:.2f} %.",
)

# %% [markdown]
# For KD, AT and FT the shape is the paper's. Since DFAD's line does the same as AR+VI's, the figure speaks for data-free distillation and not for AR+VI's part in it. We did not examine why FitNet fails here, so this says nothing about FitNet.
#
# (sec-arvi-dafl)=
# ## MNIST at DFAD's schedule, and DAFL
#
# At DFAD's schedule on MNIST the learning rates are constant and students do not settle. So the table gives the second half of each run's tests, not only the final one. One seed each, on two kinds of processor.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
printed = {
    s.method: s.figure
    for s in papers.SYSTEMS
    if (s.paper, s.dataset) == ("arvi", "mnist")
}
bands, rows = {}, []
for m in ("dfad", "arvi", "dafl"):
    (r,) = records.load_records(
        "paper", method=m, dataset="mnist", changes={}
    )
    tests = r["history"]["accuracy"]
    half = tests[len(tests) // 2 :]
    band = [np.mean(half), min(half), max(half)]
    bands[m] = [*band, r["accuracy_last"], r["accuracy_best"]]
    name = papers.NAMES.get(m, "DAFL")
    rows.append([name, *(f"{v:.2f}" for v in bands[m]), printed[m]])
assert bands["arvi"][0] < bands["dfad"][0]
assert bands["dafl"][4] < min(bands[m][0] for m in ("dfad", "arvi"))
assert float(printed["dafl"]) - bands["dafl"][4] > 5
pictures.table(
    ["method", "mean", "lowest", "highest", "final", "best", "paper"],
    rows,
    caption="MNIST, DFAD's schedule: accuracy (%) over the second half "
    "of the tests (mean, lowest, highest), final and best. n = 1.",
)

# %% [markdown]
# DFAD and AR+VI swing by points, and their best tests are near the paper's figures. DAFL misses its figure by far, and not because it swings. DFAD's recipe, with which it runs here, updates the student by SGD; DAFL's public code uses Adam (**code**). We ran DAFL again on a narrow generator with both optimisers, and with five generator steps a stage.

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the code of the table"}
NARROW = {"generator_width": 8, "batch": 128, "student_batch": 128}
ADAM = {"student_optimizer": "adam", "student_lr": 0.002}
variants = {
    "SGD": {},
    "Adam": ADAM,
    "Adam, five generator steps": {**ADAM, "generator_steps": 5},
}
dafl = {
    name: records.arm("paper", "dafl", "mnist", **NARROW, **changes)
    for name, changes in variants.items()
}
value, half, n = records.paired(
    dafl["Adam"], dafl["SGD"], "accuracy_last"
)
assert abs(value) < half
pictures.table(
    ["DAFL, narrow generator", "final accuracy (%)", "seeds"],
    [
        [
            name,
            mean(r, "accuracy_last")
            if len(r) > 1
            else f"{r[0]['accuracy_last']:.2f}",
            len(r),
        ]
        for name, r in dafl.items()
    ],
    caption="MNIST, DFAD's schedule. "
    + f"Adam − SGD: Δ = {value:+.2f} points (95 % CI {value - half:+.2f} "
    f"to {value + half:+.2f}, n = {n}, 1 of 1 comparisons): not "
    "resolved.".replace("-", "−"),
)

# %% [markdown]
# Adam does not raise the accuracy measurably. The interval is wide, and Adam with the wide generator was not run. DAFL's generator has no opponent; with five steps a stage the student ends far below, which suggests that a longer trained generator makes fewer kinds of images. This is a guess, and DAFL's own schedule has not been run.
#
# At our short schedule, DAFL climbs first and ends lowest, while DFAD and AR+VI overlap all along (the paper's Figure 2 b, with images in place of time):

# %% tags=["hide-input"] mystnb={"code_prompt_show": "Show the plotting code", "figure": {"name": "fig-arvi-mnist", "caption": "Test accuracy on MNIST, short schedule, over the images that the student has seen: mean and range of three seeds. DAFL climbs first and ends lowest; DFAD and AR+VI overlap all along."}, "image": {"alt": "Test accuracy in percent on MNIST over the images that the student has been trained on, from 40 upwards, for DAFL, DFAD and AR+VI: the mean of three seeds and their range. DAFL climbs first, but its mean is the lowest at the end; DFAD and AR+VI overlap all along."}}
short = {
    papers.NAMES.get(m, "DAFL"): [
        r["history"]
        for r in records.load_records(
            "mnist", method=m, dataset="mnist"
        )
    ]
    for m in ("dafl", "dfad", "arvi")
}
ax = pictures.curves(
    short,
    "accuracy",
    x="samples",
    x_label="images that the student has been trained on",
    y_label="test accuracy (%)",
)
ax.set_ylim(bottom=40)
plt.show()

# %% [markdown]
# ## Exercises
#
# ```{exercise}
# :label: ex-arvi-half
# For which $a$ does $\lambda \sim \mathrm{Beta}(a, a)$ penalise a quadratic's mean gap half as much as the uniform distribution? Predict whether the mean squared gap is halved too.
# ```
#
# ```{solution} ex-arvi-half
# :class: dropdown
# By {eq}`eq-arvi-moments`, $a/(2(2a+1)) = 1/12$ gives $12a = 4a + 2$, so $a = \tfrac14$. The mean square there is $\tfrac{5/16}{4 \cdot 3/2 \cdot 7/2} = \tfrac{5}{336}$, of $\tfrac1{30}$: 45 per cent. The two losses do not agree on what "half" means.
# ```

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show the numeric check"}
lam = rng.beta(0.25, 0.25, size=1_000_000)
weight = lam * (1 - lam)
print(
    f"mean {6 * weight.mean():.2f}, square {30 * (weight**2).mean():.2f}"
)
assert abs(6 * weight.mean() - 0.5) < 0.01
assert abs(30 * (weight**2).mean() - 150 / 336) < 0.01

# %% [markdown]
# ```{exercise}
# :label: ex-arvi-one
# Mixup uses $\lambda = 0.3$ only, and a continuous $f$ has a penalty of exactly zero for all pairs. Show numerically that the positions at which $f$ then equals its chord leave no gap.
# ```
#
# ```{solution} ex-arvi-one
# :class: dropdown
# Start with the positions $\{0, 1\}$ and add, between any two neighbours $\lambda_2 < \lambda_1$, the point $0.3 \lambda_1 + 0.7 \lambda_2$ (the proof of {prf:ref}`thm-arvi-affine`). Every round multiplies the largest gap by 0.7. It goes to zero, and by continuity $f$ equals its chord everywhere.
# ```

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show the numeric check"}
where = np.array([0.0, 1.0])
for _ in range(15):
    between = 0.3 * where[1:] + 0.7 * where[:-1]
    where = np.sort(np.concatenate([where, between]))
print(f"largest gap after 15 rounds: {np.diff(where).max():.4f}")
assert abs(np.diff(where).max() - 0.7**15) < 1e-12

# %% [markdown]
# ```{exercise}
# :label: ex-arvi-small
# $T(x) = x^2$ as in {eq}`eq-arvi-square`, squared error, and the generator's density equals the mixtures', $p_G = p_m$. Which $\lambda_{vi}$ keeps the student within $0.01$ of its teacher?
# ```
#
# ```{solution} ex-arvi-small
# :class: dropdown
# By {eq}`eq-arvi-compromise` the bias is $\frac{\lambda_{vi}}{1+\lambda_{vi}}\, b(m)$, at most $0.1476\,\frac{\lambda_{vi}}{1+\lambda_{vi}}$. It is $0.01$ at $\lambda_{vi} = 0.01/(0.1476 - 0.01) = 0.073$. At our $0.3$ it is $0.034$.
# ```

# %% tags=["hide-cell"] mystnb={"code_prompt_show": "Show the numeric check"}
largest = (1 - math.log(2)) / (3 * math.log(2))
w = 0.01 / (largest - 0.01)
print(f"λ_vi = {w:.4f} gives a bias of {w / (1 + w) * largest:.4f}")
s = np.linspace(-0.05, 0.2, 250_001)  # brute force, at m = 0
best = s[(s**2 + w * (s - largest) ** 2).argmin()]
assert abs(best - 0.01) < 1e-5
