"""What every method does: who learns when, by which settings, and whether it works."""

import copy
import dataclasses
import functools
import sys
from pathlib import Path

import pytest
import torch

import dfkd_lib
from dfkd_lib.data import DATASETS, Images, load_dataset
from dfkd_lib.errors import UserError
from dfkd_lib.methods import METHODS, Task, hidfd_maps, readable
from dfkd_lib.models import build, classifier_of
from dfkd_lib.recipes import RECIPES, override, recipe_for
from dfkd_lib.run import begin, finished
from dfkd_lib.teachers import load_teacher
from dfkd_lib.train import Keep, Scores, TestSet, train

TINY = {
    "generator_width": 2, "z_dim": 6, "batch": 8, "student_batch": 8, "stages": 4,
    "generator_steps": 1, "student_steps": 2, "stages_per_epoch": 1, "memory": 24,
    "inversion_steps": 2, "synthetic": 20, "warmup": 1, "labels": "random",
}  # fmt: skip
GAMES = ("dfad", "arvi", "abm", "dfkd_mem", "mad", "dfq", "dafl")
STILL = {"pad": 0, "mode": "replicate", "flip": False}
PLAYERS = [*GAMES, "deepinversion", "hidfd", "degan", "zskt", "cmi", "fast"]
PLAYERS += ["nayer", "spaceshipnet", "pre", "composed"]


def shrunk(name, **changes):
    own = {n: v for n, v in TINY.items() if n in readable(METHODS[name])}
    usual = "digits_hybrid" if name in ("hidfd", "degan") else "digits"
    return recipe_for(usual, name).replace(**own | changes)


@functools.cache
def lenet():
    return load_teacher(load_dataset("digits"), "lenet5").network


@functools.cache
def real():
    """A hundred digits and their labels."""
    return Images.of(load_dataset("digits"), "cpu")[torch.arange(100)]


def started(name, seed=0, teacher=None, **changes):
    settings = shrunk(name, **changes).settings
    task = Task(10, (1, 32, 32), images=real() if settings.data else None)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        student = build("lenet5_half", 10)
        return settings, settings.start(teacher or lenet(), student, task, seed)


def played(settings, state, stages=2):
    made = []
    for _ in range(stages):
        state.stage += 1
        made.append(settings.stage(state))
    return made


def weights(network):
    flat = [p.detach().flatten() for p in network.parameters()]
    return torch.cat(flat or [torch.zeros(0)])


def networks(state):
    return {n: p for n, p in state.parts().items() if isinstance(p, torch.nn.Module)}


def equal(one, other):
    """Whether two states are equal, to the bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[n], other[n]) for n in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


every_method = pytest.mark.parametrize("name", METHODS)

# --- recipes: each on its own networks and sizes of images, two images at a time ------

FEW = {"batch": 2, "student_batch": 2, "generator_steps": 1, "student_steps": 1}
FEW |= {"memory": 3, "synthetic": 4, "stages": 2, "pretrain_steps": 1}
CASES = [(e, e.paper if e.paper in METHODS else "mad") for e in RECIPES]
MORE = {("mad", "cifar100"): ("abm", "dfkd_mem"), ("hidfd", "mnist"): ("degan",)}
MORE[("hidfd", "digits_hybrid")] = ("kd_collected", "dfnd", "kd3")
CASES += [(e, m) for e in RECIPES for m in MORE.get((e.paper, e.dataset), ())]
CASES = [c for c in CASES if c[0].dataset != "cifar10"]  # as CIFAR-100, fewer classes
CASES.sort(key=lambda case: case[0].teacher)
IDS = [f"{e.paper}-{e.dataset}-{e.teacher}-{m}" for e, m in CASES]


@functools.lru_cache(maxsize=1)
def untrained(name, classes):
    torch.manual_seed(0)
    return build(name, classes).eval()


def noise_images(classes, shape):
    x = torch.randint(256, (5, *shape), dtype=torch.uint8)
    half = torch.full((shape[0], 1, 1), 0.5)
    return Images(x, torch.arange(5) % classes, half, half, STILL)


@pytest.mark.parametrize("entry, method", CASES, ids=IDS)
def test_a_recipe_runs_and_continues(entry, method):
    """From its state, loaded by a run of other weights: equal losses and weights.

    Images have at most 64 pixels a side, the fewest that AlexNet reads.
    """
    pair, facts = (entry.teacher, entry.student), DATASETS[entry.dataset]
    recipe = recipe_for(entry.dataset, method, *pair, entry.paper)
    own = recipe.values()
    recipe = recipe.replace(**{n: min(v, own[n]) for n, v in FEW.items() if n in own})
    m = recipe.settings
    shape = (facts.channels, *2 * [min(facts.size, 64)])
    images = noise_images(facts.classes, shape) if m.data else None
    task = Task(facts.classes, shape, images=images)
    teacher = untrained(entry.teacher, facts.classes)
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        student = build(entry.student, facts.classes)
        states.append(m.start(teacher, student, task, 0))
    before = {n: weights(network) for n, network in networks(states[0]).items()}
    played(m, states[0], 1)
    states[1].load_state_dict(copy.deepcopy(states[0].state_dict()))
    losses = []
    for state in states:
        state.stage = 1
        torch.manual_seed(1)  # AlexNet's dropout
        [made] = played(m, state, 1)
        losses.append([(who, sorted(terms.items())) for who, terms in made.updates])
    assert equal(*losses) and equal(*(state.state_dict() for state in states))
    assert all(v.isfinite() for _, terms in losses[0] for _, v in terms)
    for n, network in networks(states[0]).items():
        has_weights = len(before[n]) and (method, n) != ("degan", "projector")
        assert torch.equal(weights(network), before[n]) != bool(has_weights)


# --- who learns when ------------------------------------------------------------------


@pytest.mark.parametrize("name", PLAYERS)
def test_gradients_go_where_the_paper_says(name):
    """The generator's loss moves no student, the student's no generator; T is fixed."""
    settings, s = started(name)
    teacher, student = weights(s.teacher), weights(s.student)
    makers = [n for n in ("generator", "discriminator", "ema") if hasattr(s, n)]
    begun, seen = [weights(getattr(s, n)) for n in makers], []

    def made():
        parts = [getattr(s, n) for n in makers]
        gradients = [None if p.grad is None else p.grad.clone()
                     for part in parts for p in part.parameters()]  # fmt: skip
        return [weights(part) for part in parts], gradients

    def look(state):
        """When the generator has just moved: nothing has reached the student."""
        assert torch.equal(weights(state.student), student)
        assert all(p.grad is None for p in state.student.parameters())
        seen.append(made())

    s.observe = look
    played(settings, s, 1)
    if hasattr(settings, "gan_stages"):  # then the student's first
        s.stage = settings.gan_stages
        played(settings, s, 1)
    [then] = seen
    assert not any(map(torch.equal, begun, then[0])) and equal(then, made())
    assert torch.equal(weights(s.teacher), teacher)
    assert not torch.equal(weights(s.student), student)
    for part in [s.teacher] + ([s.ema] if "ema" in makers else []):
        assert not any(p.requires_grad or p.grad is not None for p in part.parameters())


@pytest.mark.parametrize("name", GAMES[:-1])
def test_the_generator_widens_the_gap_and_the_student_closes_it(name):
    """At fixed noise; without AR+VI's own terms, and with BatchNorm nowhere."""
    own = {"generator_lr": 1e-2, "generator_steps": 10, "student_steps": 60}
    own |= {"lambda_l": 0.0, "lambda_m": 0.0} if name == "arvi" else {}
    settings, s = started(name, batch=64, student_batch=64, **own)
    noise, gaps = s.noise(256), []

    @torch.no_grad()
    def gap(state):
        x = state.generator(*noise)
        gaps.append((state.teacher(x) - state.student(x)).abs().mean().item())

    gap(s)
    s.observe = gap
    played(settings, s, 1)
    gap(s)
    assert gaps[1] > 1.05 * gaps[0] and gaps[2] < 0.95 * gaps[1]


@every_method
def test_a_student_is_a_student_and_samples_are_what_it_saw(name):
    """Whatever a method needs beside it is not in it; nor is the caller's T changed."""
    own = readable(METHODS[name])
    changes = {"gan_share": 0.0} if "gan_share" in own else {}
    changes["student_batch" if "student_batch" in own else "batch"] = 5
    teacher = copy.deepcopy(lenet()).train().requires_grad_(True)
    settings, s = started(name, teacher=teacher, **changes)
    played(settings, s)
    batch = {"mad": 10, "dfkd_mem": 10, "pre": 6}.get(name, 5)  # with old images
    assert s.samples == 2 * 2 * batch
    assert teacher.training and all(p.requires_grad for p in teacher.parameters())
    plain, alone = build("lenet5_half", 10), finished(settings, s)
    assert list(alone.state_dict()) == list(plain.state_dict())
    x = torch.randn(4, 1, 32, 32)
    assert torch.allclose(alone.eval()(x), s.student.eval()(x), atol=1e-5)


@pytest.mark.parametrize(("reuse", "fresh"), [(1, 4), (2, 2), (4, 1)])
def test_reuse_draws_fewer_images_and_trains_on_as_many(reuse, fresh):
    settings, s = started("mad", reuse=reuse, student_steps=4)
    asked = []
    s.ema.network.register_forward_hook(lambda *_: asked.append(1))
    played(settings, s, 1)
    assert len(asked) == fresh and s.samples == 4 * 8 * 2


def test_methods_start_from_the_same_networks_and_noise():
    states = {name: started(name)[1] for name in GAMES}
    mad = states["mad"]
    for state in states.values():
        assert torch.equal(weights(state.student), weights(mad.student))
        assert torch.equal(weights(state.generator), weights(mad.generator))
    noise = [state.noise(8) for state in states.values()]
    assert all(equal(one, noise[0]) for one in noise)


class Crash(Exception):
    """What ends a run without warning."""


class Crashing:
    """A test of students that fails at a stage."""

    def __init__(self, stage=0):
        self.stage = stage

    def scores(self, state):
        if state.stage == self.stage:
            raise Crash
        return Scores(float(weights(state.student).sum()), 50.0, 0.5)


@every_method
def test_a_run_is_resumed_to_the_last_bit(name, tmp_path):
    """Crashed in its third stage, resumed from the second's checkpoint."""
    results = []
    for crash in (0, 3):
        settings, s = started(name, seed=1)
        keep = Keep(tmp_path / f"{crash}.ckpt", {"run": name}, 1)
        if crash:
            with pytest.raises(Crash):
                train(settings, s, Crashing(crash), keep=keep)
            torch.manual_seed(123)  # the world around has no say
            _, s = started(name, seed=1)
            keep = dataclasses.replace(keep, resume=True)
        history = train(settings, s, Crashing(), keep=keep).asdict()
        assert history.pop("resumed") == ([2] if crash else [])
        assert len(history.pop("seconds")) == 4
        results.append((s.state_dict(), history))
    assert equal(*results)
    assert not torch.equal(weights(s.student), weights(started(name, 2)[1].student))


# --- settings -------------------------------------------------------------------------

READ_BY_RUN = {"data_share", "collected_from", "collected_ratio", "collected_by"}
READ_BY_RUN |= {"collected_imbalance"}
ALL_ON = {
    "schedule": "step", "mixup": "beta", "conditional": True, "lambda_logit": 1.0,
    "pretrain_steps": 1, "student_optimizer": "sgd",
}  # fmt: skip


@every_method
def test_a_method_reads_every_setting_that_it_lists(name, monkeypatch):
    kind, reads = METHODS[name], set()
    own = {n: v for n, v in ALL_ON.items() if n in readable(kind)}
    students = ("kd", "semckd") if "distill" in readable(kind) else ()
    runs = [own, *(own | {"distill": name} for name in students)]
    for changes in runs:
        settings, s = started(name, **changes)
        usual = kind.__getattribute__

        def noting(self, n, usual=usual):
            reads.add(n)
            return usual(self, n)

        with monkeypatch.context() as patch:
            patch.setattr(kind, "__getattribute__", noting)
            task = Task(10, (1, 32, 32), images=s.task.images)
            s = settings.start(lenet(), build("lenet5_half", 10), task, 0)
            train(settings, s, Crashing())
    assert set(readable(kind)) - READ_BY_RUN - reads == set()


@pytest.mark.parametrize(
    ("name", "setting", "words"),
    [
        ("mad", "memory=10", "'memory' is not known"),
        ("degan", "lambda_g=1", "'lambda_g' is not known"),
        ("mad", "momentum=1.0001", "a number from 0 to 1, both included"),
        ("mad", "batch=0", "a whole number from 1 to 65536"),
        ("mad", "student_lr=1e999", "inf is not allowed"),
        ("mad", "conditional=2", "give True or False"),
        ("mad", "schedule=linear", "allowed: constant, cosine, step"),
        ("mad", "milestones=0.5", "a tuple of numbers from 0 to 1"),
        ("mad", "reuse=2", "reuse: 2 is not allowed with 5 student steps"),
        ("hidfd", "gan_loss=hing", "did you mean 'hinge'"),
        ("kd_collected", "collected_from=a/b", "a data set's name, or auto"),
        ("mad", "batch", "it has no value; write NAME=VALUE"),
        ("arvi", "mixup=fixed mixup_a=2", "mixup_a: 2.0 is not allowed with mixup"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(name, setting, words):
    with pytest.raises(UserError) as caught:
        override(recipe_for("digits", name), setting.split(" "))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_what_a_method_cannot_do_with_a_network_is_told():
    with pytest.raises(UserError, match="pretrain_steps: without discrepancy"):
        started("mad", pretrain_steps=1)
    with pytest.raises(UserError, match="pair: this method needs maps of equal"):
        m = shrunk("fitnet").settings
        teacher = build("wrn16_1", 10)
        m.start(teacher, build("resnet18_8x", 10), Task(10, (3, 32, 32)), 0)


# --- HiDFD ----------------------------------------------------------------------------


def moved(settings, s):
    """The networks whose weights a stage changes."""
    before = {n: weights(network) for n, network in networks(s).items()}
    played(settings, s, 1)
    after = networks(s).items()
    return {n for n, p in after if not torch.equal(weights(p), before[n])}


def test_hidfd_first_trains_the_gan_then_the_student():
    """Which shares the teacher's classifier."""
    settings, s = started("hidfd")
    gan = {"generator", "discriminator", "projector"}
    assert [moved(settings, s) for _ in range(4)] == [gan, gan, *2 * [{"student"}]]
    shared, own = classifier_of(s.student), classifier_of(s.teacher)
    assert torch.equal(shared.weight, own.weight) and shared.weight is not own.weight
    assert not shared.weight.requires_grad


@pytest.mark.parametrize("distill", "simkd kd dkd nkd cc rkd ofa semckd".split())
def test_the_losses_of_table_2_train_the_student_and_its_helper(distill):
    learns = {"student", "helper"} if distill in ("ofa", "semckd") else {"student"}
    assert moved(*started("hidfd", gan_share=0.0, distill=distill)) == learns


def on_maps(distill, seed=0, **changes):
    """HiDFD's student stage on two Wide ResNets, of other widths."""
    own = {"gan_share": 0.0, "student_batch": 32} | changes
    settings = shrunk("hidfd", distill=distill, **own).settings
    torch.manual_seed(0)
    task = Task(10, (3, 32, 32), images=noise_images(10, (3, 32, 32)))
    teacher = untrained("wrn16_2", 10)
    torch.manual_seed(seed)
    return settings, settings.start(teacher, build("wrn16_1", 10), task, 0)


@pytest.mark.parametrize(
    ("distill", "learns"),
    [("ofa", {"student", "helper"}), ("semckd", {"student", "helper"}),
     ("catkd", {"student"})],
)  # fmt: skip
def test_what_helps_a_student_learns_and_continues_and_stays_behind(distill, learns):
    settings, s = on_maps(distill)
    assert moved(settings, s) == learns
    for network in (networks(s)[n] for n in learns):
        assert all(p.grad.abs().max() > 0 for p in network.parameters())
    again = on_maps(distill, seed=1)[1]
    again.load_state_dict(copy.deepcopy(s.state_dict()))
    losses = [played(settings, state, 1)[0].updates for state in (s, again)]
    assert equal(*losses) and equal(s.state_dict(), again.state_dict())
    student = finished(settings, s)
    assert list(student.state_dict()) == list(build("wrn16_1", 10).state_dict())


def test_a_branch_of_ofa_teaches_the_stages_before_it():
    _, s = on_maps("ofa")
    maps = s.student.stages(torch.randn(4, 3, 32, 32)).maps
    for branch, end, m in zip(s.helper, s.student.cuts, maps, strict=True):
        s.student.zero_grad()
        branch(m).square().sum().backward(retain_graph=True)
        taught = [i for i, layer in enumerate(s.student.features)
                  if any(p.grad is not None for p in layer.parameters())]  # fmt: skip
        assert max(taught) <= end and min(taught) == 0 and end - max(taught) <= 1


def test_class_activation_maps_have_the_logits_as_means():
    network = untrained("wrn16_1", 10)
    seen = network.stages(torch.randn(2, 3, 32, 32))
    maps = hidfd_maps.class_maps(seen.maps[-1], network.classifier.weight)
    means = maps.mean((2, 3)) + network.classifier.bias
    assert maps.shape == (2, 10, 8, 8) and torch.allclose(means, seen.logits, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"distill": "catkd"}, "catkd needs last maps of 2×2 pixels or more"),
        ({"distill": "semckd", "student_batch": 1}, "student_batch: 1 is not allowed"),
        ({"distill": "ofa", "distill_weight": 2.0}, "distill=ofa does not read it"),
        ({"distill": "semckd", "teacher": "foreign"}, "know only the library's own"),
        ({"distill": "catkd", "teacher": "foreign"}, "know only the library's own"),
        ({"distill": "semckd", "teacher": "vit_small"}, "except vit_small"),
    ],
)
def test_a_loss_on_maps_refuses_what_it_cannot_look_at(changes, words):
    if "teacher" in changes:
        layers = torch.nn.Flatten(), torch.nn.Linear(1024, 10)
        known = {"foreign": torch.nn.Sequential(*layers)}
        known["vit_small"] = untrained("vit_small", 10)
        changes = changes | {"teacher": known[changes["teacher"]]}
    with pytest.raises(UserError, match=words) as caught:
        started("hidfd", **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("inflation", "share"), [(0, 200 / 400), (1, 100 / 300), (10, 1000 / 1200)]
)
def test_the_hybrid_data_hold_the_collected_images_n_times(inflation, share):
    """α = N |D_c| / (N |D_c| + |D_s|); 0 asks for the paper's N."""
    sizes = {"synthetic": 200, "student_batch": 800}
    settings, s = started("hidfd", inflation=inflation, **sizes)
    still = dataclasses.replace(real(), usual=STILL)
    s.task = dataclasses.replace(s.task, images=still)
    s.made = settings.synthesise(s)
    x, _ = settings.hybrid_batch(s)
    known = {image.numpy().tobytes() for image in still.batch(torch.arange(100))}
    found = sum(image.numpy().tobytes() in known for image in x) / 800
    assert found == pytest.approx(share, abs=0.07)


def test_no_class_is_asked_for_that_was_not_collected():
    settings, s = started("hidfd")
    assert sorted(s.present.tolist()) == list(range(10))
    images = real()[(real().y != 3).nonzero()[:, 0]]
    task = dataclasses.replace(s.task, images=images)
    s = settings.start(lenet(), build("lenet5_half", 10), task, 0)
    pixels, y = settings.synthesise(s)
    assert pixels.dtype == torch.uint8 and 3 not in y
    assert set(y.tolist()) == set(range(10)) - {3}


# --- one page a paper, and whether it works -------------------------------------------


@pytest.mark.parametrize("name", ["mad", "dfad", "arvi", "abm"])
def test_a_stage_enters_five_files_at_most(name):
    """Counted by a profile of every call; the tests' own type checks are no file."""
    settings, s = started(name)
    played(settings, s, 1)
    library, entered = Path(dfkd_lib.__file__).parent, set()

    def note(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(library):
            entered.add(str(path.relative_to(library)))

    sys.setprofile(note)
    try:
        settings.stage(s)
    finally:
        sys.setprofile(None)
    assert f"methods/{name if name != 'abm' else 'mad'}.py" in entered
    assert len(entered) <= 5, sorted(entered)


def test_a_method_finds_the_moons_boundary_without_data():
    moons, recipe = load_dataset("moons"), recipe_for("moons", "dfad")
    s = begin(recipe, load_teacher(moons, "mlp").network, moons)
    history = train(recipe.settings, s, TestSet.of(moons, s.teacher, "cpu"))
    assert history.agreement[-1] > 95


@pytest.mark.parametrize("name", ["mad", "random"])
def test_a_method_reads_digits_and_noise_does_not_teach(name, digits):
    recipe = recipe_for("digits", name)
    recipe = recipe.replace(stages=40, stages_per_epoch=40, student_batch=64)
    s = begin(recipe, lenet(), digits)
    accuracy = train(recipe.settings, s, TestSet.of(digits, s.teacher, "cpu")).accuracy
    assert accuracy[-1] < 25 if name == "random" else accuracy[-1] > 60
