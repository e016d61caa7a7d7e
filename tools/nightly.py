"""Make the book's records: every run whose record is not there yet, two at a time. `make nightly`; hours from nothing.

A record that exists is never made again: delete it to repeat it. Each line of EXPERIMENTS is a folder of results/, and
the command lines whose records it holds; `python tools/nightly.py controls stress` makes only those two. Those that
want a GPU stand in ON_GPU, in the order of their worth; they are made where they are named, and one at a time.
"""

import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dfkd_lib import results
from dfkd_lib.recipes import METHOD_PAPERS, Recipe, recipe_for
from dfkd_lib.settings import override

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2

SEEDS, MORE, FEWER = range(5), range(8), range(3)
TWICE = "student_batch=256"
HALF = "student_batch=64 lambda0=0.5 lambda1=0.5"
LOW = ("", "student_lr=0.003")  # at the usual rate, T² times the gradient of T = 20 breaks down
STAGES_OF_20 = "stages=40 student_steps=20 stages_per_epoch=5"
NARROW = "generator_width=8 batch=128 student_batch=128"
DAFLS_OWN = "student_optimizer=adam student_lr=0.002"
REUSED = ("", *(f"reuse={times}" for times in (2, 4, 5, 10, 20)))

# AR+VI's weights and distribution of mixtures, which its paper leaves open: a search on digits, one thing at a time.
NOTHING = "lambda_l=0 lambda_m=0 lambda_vi=0"
ARVI_SEARCH = (
    NOTHING,
    *(f"lambda_l={w} lambda_m=0 lambda_vi=0" for w in (0.1, 1)),
    *(f"lambda_l=0 lambda_m={w} lambda_vi=0" for w in (0.001, 0.01)),
    *(f"lambda_l=0 lambda_m=0 lambda_vi={w}" for w in (0.3, 1)),
    "lambda_l=0 lambda_m=0 lambda_vi=1 mixup=beta",
    "lambda_l=0 lambda_m=0 lambda_vi=1 mixup=fixed",
    "lambda_l=0 lambda_m=0 lambda_vi=1 mixup_labels=teacher",
    *(f"lambda_l={w} lambda_m=0.0001 lambda_vi=0.3" for w in (0.1, 1)),
)
ARVI_PARTS = (
    NOTHING,
    "lambda_m=0 lambda_vi=0",
    "lambda_l=0 lambda_vi=0",
    "lambda_l=0 lambda_m=0",
    "lambda_vi=0",
    "",
    "lambda_l=0 lambda_m=0 mixup=beta",
    "lambda_l=0 lambda_m=0 mixup=fixed",
    "lambda_l=0 lambda_m=0 mixup_labels=teacher",
    f"{NOTHING} student_lr=0.039",  # the step that VI's weight of 0.3 adds, without its mixtures
)
# All methods of the papers at one short schedule, but DeepInversion: LeNet-5 has no BatchNorm for it.
COMPARED = (
    *("dfad", "arvi", "abm", "mad", "dfkd_mem", "dafl", "random"),
    *("kd_ori", "kd_rel", "kd_unr", "fitnet", "at", "ft"),
)

# HiDFD beside what it is made of. A student's rate is the best of two or three for seed 0, by the test images.
ALONE = "gan_share=0 stages=50"  # without a GAN, and with as many steps of the student
KD_RATE = "distill=kd student_lr=0.03"
BESIDE_HIDFD = (
    ("hidfd", ""),
    ("hidfd", f"lambda_d=0 lambda_g=0 {KD_RATE}"),  # plain GAN and KD
    ("degan", KD_RATE),
    ("hidfd", f"{ALONE} inflation=1000000"),  # alignment on the collected images alone
)
# Table 2, upper half: without L_blend, L_trans or L_reg; without two of them; without all three.
HIDFD_PARTS = (
    *("integration=transfer", "integration=blend", "lambda_g=0"),
    *("lambda_d=0", "integration=transfer lambda_g=0", "integration=blend lambda_g=0"),
    "lambda_d=0 lambda_g=0",
)
# Table 2, lower half; losses on logits also at a larger rate. Alignment's own rate stands in hidfd_digits.
HIDFD_STUDENTS = [
    *(f"distill={loss} student_lr=0.01" for loss in ("kd", "dkd", "nkd", "cc", "rkd", "simkd")),
    *(f"distill={loss} student_lr=0.03" for loss in ("kd", "dkd", "nkd")),
]
HIDFD_GAN = ("", "integration=transfer", "lambda_d=0", "lambda_g=0")
HIDFD_SWEEPS = (  # N = 17 stands in hidfd_digits, weights of 0 and q = 1 in hidfd_gan
    *("inflation=1", "collected_ratio=0.05", "gamma=0.9", "inflation=100"),
    *("collected_ratio=0.25", "lambda_d=10", "lambda_g=10", "gate_q=0.1", "gamma=0.1"),
)

# The public loop, and the fast path, from the same seeds.
SPEED = [*((m, "digits", "", SEEDS) for m in ("dfad", "mad")), ("dfad", "mnist", "", SEEDS)]

# MSE's gradient grows with the residual. These runs ended with numbers that are not finite, and so without a record.
NOT_FINITE = {("mse", 0.03): (1, 2), ("mse_mae", 0.01): (0,)}


def seeds_of(discrepancy: str, rate: float) -> list[int]:
    return [seed for seed in SEEDS if seed not in NOT_FINITE.get((discrepancy, rate), ())]


# experiment: (method, data set, settings, seeds); the recipe is ours for the data set. `paper`: the papers' own.
EXPERIMENTS = {
    "main": [(m, "digits", "", SEEDS) for m in ("dfad", "arvi", "abm", "mad")],
    # MNIST's rows of the papers' tables at their own schedule. And on a narrow generator, DFAD's student with rates
    # that stay, and that fall; and DAFL's with DFAD's optimiser, with that of DAFL's code, and with a busier generator.
    "paper": [
        *((m, "mnist", "", [0]) for m in ("dfad", "arvi", "dafl", "kd_ori", "kd_rel", "kd_unr", "at", "ft", "random")),
        *(("dfad", "mnist", f"{NARROW} schedule={rates}", SEEDS) for rates in ("constant", "cosine")),
        *(("dafl", "mnist", f"{NARROW} {optimizer}", FEWER) for optimizer in ("", DAFLS_OWN)),
        ("dafl", "mnist", f"{NARROW} {DAFLS_OWN} generator_steps=5", [0]),
    ],
    "mnist": [(m, "mnist", "", FEWER) for m in COMPARED],
    "arvi": [("arvi", "digits", settings, range(2)) for settings in ARVI_SEARCH],
    # Chapter 0: what the student sees, on digits; related is MNIST, unrelated are photographs: both in $DFKD_DATA.
    "foundations": [(m, "digits", "", SEEDS) for m in ("kd_ori", "kd_rel", "kd_unr", "random")]
    + [("kd_ori", "digits", f"data_share=0.05 temperature={t} {lr}", SEEDS) for t in (1, 4, 20) for lr in LOW]
    # On MNIST, as many photographs, and as many original images, as USPS has.
    + [("kd_unr", "mnist", "data_share=0.0729", FEWER), ("kd_ori", "mnist", "data_share=0.1215", FEWER)],
    # Chapter 1: DFAD's Fig. 4 (MAE stands in main) and Fig. 7 (128 stands there, too); points of the plane.
    "losses": [
        ("dfad", "digits", f"discrepancy={d} {f'student_lr={lr}' if lr != 0.03 else ''}", seeds_of(d, lr))
        for lr in (0.003, 0.01, 0.03)
        for d in ("mae", "mse", "kl", "mse_mae")
        if (d, lr) != ("mae", 0.03)
    ],
    "batch": [("dfad", "digits", f"batch={n} student_batch={n}", SEEDS) for n in (16, 32, 64, 256)],
    "moons": [(m, "moons", "", SEEDS) for m in ("dfad", "arvi", "abm", "mad", "random")],
    # Chapter 2: what each part of AR+VI adds, which mixtures and which labels; and data-driven methods on few images.
    "parts": [("arvi", "digits_half", settings, range(6)) for settings in ARVI_PARTS],
    # The same on points of the plane, tested often: how many samples until the student agrees.
    "moons_parts": [
        ("arvi", "moons", f"stages_per_epoch=5 {settings}", MORE)
        for settings in (NOTHING, "lambda_vi=0", "lambda_l=0 lambda_m=0", "")
    ],
    "few_images": [
        (m, "digits_half", f"data_share={share}", FEWER)
        for share in (0.02, 0.05, 0.2, 1.0)
        for m in ("kd_ori", "fitnet", "at", "ft")
    ],
    # Chapter 4: the default run and its parts; the same on MNIST with USPS, also in its frame (tools/frame_usps.py).
    "hidfd_digits": [
        *((m, "digits_hybrid", settings, SEEDS) for m, settings in BESIDE_HIDFD),
        ("kd_collected", "digits_hybrid", "stages=50 student_lr=0.01", SEEDS),
        *((m, "digits_hybrid", "", SEEDS) for m in ("dfad", "mad")),
    ],
    "hidfd": [
        *((m, "mnist", settings, FEWER) for m, settings in BESIDE_HIDFD),
        ("kd_collected", "mnist", "stages=50 student_lr=0.03", FEWER),
        ("hidfd", "mnist", "collected_from=usps_framed", FEWER),
        ("hidfd", "mnist", f"{ALONE} inflation=1000000 collected_from=usps_framed", FEWER),
        ("kd_collected", "mnist", "stages=50 student_lr=0.03 collected_from=usps_framed", FEWER),
    ],
    # What the GAN's players do, with and without the teacher's help.
    "hidfd_gan": [
        *(("hidfd", "digits_hybrid", settings, FEWER) for settings in HIDFD_GAN),
        ("degan", "digits_hybrid", KD_RATE, FEWER),
    ],
    "hidfd_parts": [("hidfd", "mnist", settings, FEWER) for settings in HIDFD_PARTS],
    "hidfd_students": [("hidfd", "digits_hybrid", settings, FEWER) for settings in HIDFD_STUDENTS],
    "hidfd_sweeps": [("hidfd", "digits_hybrid", settings, FEWER) for settings in HIDFD_SWEEPS],
    # Chapter 3: what the EMA generator adds, at equal samples and equal scale of the loss.
    "controls": [
        ("dfad", "digits_half", "", MORE),
        ("abm", "digits_half", "", MORE),
        ("abm", "digits_half", TWICE, MORE),
        ("abm", "digits_half", f"{TWICE} lambda0=2.0", MORE),
        ("mad", "digits_half", "", MORE),
        ("mad", "digits_half", HALF, MORE),
    ],
    # The page on performance.
    "plain": SPEED,
    "fast": SPEED,
    # Adversarial training made to oscillate: constant learning rates, the generator's turned up, five steps a stage.
    "stress": [
        (m, "digits_half", f"stages=80 schedule=constant generator_steps=5 {lr} {more}", seeds)
        for lr, seeds in (
            ("", FEWER),
            *((f"generator_lr={lr}", s) for lr, s in ((0.01, MORE), (0.03, MORE), (0.1, FEWER))),
        )
        for m, more in (("abm", ""), ("mad", ""), ("abm", f"{TWICE} lambda0=2.0"))
    ],
    # Adam without its memory of past gradients: the game's own movement, not the optimiser's.
    "memory": [(m, "digits_half", "generator_beta1=0.0", SEEDS) for m in ("abm", "mad")],
    "statistics": [("mad", "digits_half", f"ema_statistics={s}", FEWER) for s in ("averaged", "reestimated")],
    "reuse": [
        *(("mad", "digits_half", f"{STAGES_OF_20} {r}", SEEDS) for r in REUSED),
        ("abm", "digits_half", STAGES_OF_20, SEEDS),
    ],
    "conditional": [("mad", "digits_half", f"conditional=True {g}", FEWER) for g in ("", "norm_scale=3.0")],
    # 0.95 stands in controls.
    "momentum": [("mad", "digits_half", f"momentum={a}", FEWER) for a in ("0.5", "1.0")],
}


# CIFAR-100. MAD's pair with MAD's schedule for all three, 900,000 student steps, and first a tenth of it; then the
# large pair, each with its paper's schedule.
WRN, RESNET = ("wrn40_2", "wrn16_2"), ("resnet34_8x", "resnet18_8x")
ON_GPU = {
    "wrn_short": [(m, "cifar100", "stages=1500", [0]) for m in ("dfad", "abm", "mad")],
    "wrn": [(m, "cifar100", "", [0]) for m in ("dfad", "abm", "mad")],
    "resnet": [(m, "cifar100", "", [0]) for m in ("dfad", "arvi", "mad")],
}
KNOWN = EXPERIMENTS | ON_GPU

PROBED = ("controls", "stress", "memory", "statistics", "reuse", "conditional", "momentum", "main", "hidfd_gan")


def recipe_of(experiment: str, method: str, dataset: str, settings: str) -> Recipe:
    """What one line of an experiment runs."""
    if experiment in ON_GPU:
        pair, whose = (RESNET, "auto") if experiment == "resnet" else (WRN, "mad")
        return override(recipe_for(dataset, method, *pair, whose), settings.split())
    paper = METHOD_PAPERS.get(method)
    if experiment == "paper":
        paper = paper or "dfad"
    elif paper != "hidfd":
        paper = "ours"
    return override(recipe_for(dataset, method, paper=paper), settings.split())


def missing(experiments: list[str]) -> list[str]:
    """Command lines of the runs without a record."""
    lines = []
    for experiment in experiments:
        for method, dataset, settings, seeds in KNOWN[experiment]:
            recipe = recipe_of(experiment, method, dataset, settings)
            for seed in seeds:
                folder = ROOT / "results" / experiment
                if not (folder / f"{results.run_name(method, recipe, seed)}.json").exists():
                    # A run that was killed goes on; one that is probed keeps no checkpoints.
                    how = "--probe" if experiment in PROBED else "--resume"
                    precision = "plain" if experiment == "plain" else "auto"
                    device = "cuda" if experiment in ON_GPU else "cpu"
                    command = results.command(method, recipe, seed, device, precision)
                    lines.append(
                        f"{command.removeprefix('python ')} {how} --record-only --output-dir {shlex.quote(str(folder))}"
                    )
    return lines


def main() -> int:
    unknown = set(sys.argv[1:]) - set(KNOWN)
    if unknown:
        print(f"error: no experiment {', '.join(unknown)}; there are {', '.join(KNOWN)}", file=sys.stderr)
        return 2
    lines = missing(sys.argv[1:] or list(EXPERIMENTS))
    print(f"{len(lines)} runs to make")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def make(line: str) -> int:
        print(line, flush=True)
        return subprocess.run([sys.executable, *shlex.split(line)], env=environment, cwd=ROOT).returncode

    with ThreadPoolExecutor(1 if set(sys.argv[1:]) & set(ON_GPU) else WORKERS) as pool:
        return int(any(list(pool.map(make, lines))))  # every run is tried; a killed one counts as failed


if __name__ == "__main__":
    sys.exit(main())
