"""Recipes: the papers' numbers, each with its source; whose is taken; and what no run could follow is refused."""

import re

import pytest

from dfkd_lib.catalogue import DATASETS, NETWORKS
from dfkd_lib.errors import UserError
from dfkd_lib.methods import METHODS
from dfkd_lib.recipes import CHOICES, METHOD_PAPERS, PAPERS, RECIPES, Recipe, recipe_for


def refusal(make) -> str:
    with pytest.raises(UserError) as caught:
        make()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("make", [lambda **changes: Recipe(**changes), Recipe().replace])
@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_name_lists_the_known_ones(make, name):
    message = refusal(lambda: make(**{name: "lion"}))
    assert message.startswith(f"{name}: 'lion' ")
    assert all(allowed in message for allowed in CHOICES[name])


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in CHOICES.items() for value in values])
def test_every_known_name_passes(name, value):
    assert getattr(Recipe(**{name: value}), name) == value


@pytest.mark.parametrize("reuse", range(1, 13))
def test_reuse_divides_the_student_steps(reuse):
    if reuse in (1, 2, 3, 4, 6, 12):
        assert Recipe(student_steps=12, reuse=reuse).reuse == reuse
    else:
        message = refusal(lambda: Recipe(student_steps=12, reuse=reuse))
        assert message.startswith("reuse: ") and str(reuse) in message and "12" in message


# --- their numbers ---------------------------------------------------------------------------------------------------

# Copied by hand from the notes on the papers (FACTS), not from the code.
SGD, ADAM = "sgd 0.01 0.9 0.0005", "adam 0.0001 0.9 0.0001"
# Student; n_S; the generator's learning rate and decay; n_G; batch; stages; an epoch's; schedule; classes; pretraining.
MAD = {
    ("cifar10", "resnet34_8x-resnet18_8x"): (SGD, 30, 1e-3, 5e-4, 3, 256, 15_000, 50, "step", False, 0),
    ("cifar100", "resnet34_8x-resnet18_8x"): (SGD, 30, 1e-3, 5e-4, 3, 256, 15_000, 50, "step", False, 0),
    ("cifar10", "wrn40_2-wrn16_2"): (SGD, 60, 1e-3, 5e-4, 3, 256, 15_000, 50, "step", False, 0),
    ("cifar100", "wrn40_2-wrn16_2"): (SGD, 60, 1e-3, 5e-4, 3, 256, 15_000, 50, "step", False, 0),
    ("tiny_imagenet", "resnet34_8x-resnet18_8x"): (SGD, 90, 1e-3, 5e-4, 3, 256, 15_000, 50, "step", False, 0),
    ("imagenet", "alexnet-alexnet"): (ADAM, 150, 1e-4, 5e-4, 20, 512, 6000, 1, "constant", True, 200),
    ("places365", "alexnet-alexnet"): (ADAM, 150, 1e-4, 5e-4, 10, 512, 6000, 1, "constant", True, 50),
    ("food101", "alexnet-alexnet"): (ADAM, 150, 1e-4, 5e-4, 5, 512, 4000, 1, "constant", True, 50),
}
# Generator; z; batch; the student's learning rate and decay; epochs of 50 stages; schedule; milestones.
DFAD = {
    ("mnist", "lenet5-lenet5_half"): ("generator_a", 100, 512, 0.01, 1e-4, 40, "constant", None),
    ("cifar10", "resnet34_8x-resnet18_8x"): ("generator_a", 256, 256, 0.1, 5e-4, 500, "step", (100 / 500, 200 / 500)),
    ("cifar100", "resnet34_8x-resnet18_8x"): ("generator_a", 256, 256, 0.1, 5e-4, 500, "step", (100 / 500, 200 / 500)),
    ("caltech101", "resnet34-resnet18"): ("generator_b", 256, 64, 0.05, 5e-4, 300, "step", (100 / 300, 200 / 300)),
}
ARVI = {key: row for key, row in DFAD.items() if key[0] != "caltech101"}


def of(paper: str) -> dict[tuple[str, str], Recipe]:
    return {(recipe.dataset, recipe.pair): recipe for recipe in RECIPES if recipe.paper == paper}


def test_papers_and_pairs():
    assert (of("mad").keys(), of("dfad").keys(), of("arvi").keys()) == (MAD.keys(), DFAD.keys(), ARVI.keys())
    ours = {(name, "lenet5-lenet5_half") for name in ("digits", "digits_half", "digits_hybrid", "mnist")}
    assert set(of("ours")) == ours | {("moons", "mlp-mlp_half")}
    cifar = {(name, pair) for name in ("cifar10", "cifar100") for pair in (RESNET, "vgg16_bn-vgg13_bn")}
    assert set(of("hidfd")) == cifar | {("digits_hybrid", LENET), ("mnist", LENET)}
    assert len(RECIPES) == sum(map(len, (MAD, DFAD, ARVI, of("ours"), of("hidfd"))))
    assert set(PAPERS) == {"ours", "dfad", "arvi", "mad", "hidfd"}


@pytest.mark.parametrize("key", [("cifar10", "resnet34_8x-resnet18_8x"), ("cifar100", "vgg16_bn-vgg13_bn")])
def test_hidfds_numbers(key):
    """500 epochs of the GAN; 240 of the student, whose rate falls tenfold at 150, 180 and 210; N = 10 (Fig. 2c)."""
    r = of("hidfd")[key]
    gan = round(r.gan_share * r.stages)
    assert (gan, r.stages - gan, [round(240 * part) for part in r.milestones]) == (500, 240, [150, 180, 210])
    assert (r.generator_lr, r.discriminator_lr, r.student_lr) == (1e-4, 4e-4, 0.05)
    assert (r.student_momentum, r.student_weight_decay, r.schedule) == (0.9, 5e-4, "step")
    assert (r.lambda_d, r.lambda_g, r.gate_q, r.gamma, r.collected_ratio) == (0.1, 0.1, 0.7, 0.5, 0.1)
    assert r.generator_steps * r.batch == 5_000 and r.student_steps * r.student_batch == pytest.approx(1e5, rel=1e-3)
    assert (r.inflation, r.synthetic // 5_000) == (0, 10)


@pytest.mark.parametrize("key", MAD, ids="-".join)
def test_mads_numbers(key):
    r = of("mad")[key]
    student = f"{r.student_optimizer} {r.student_lr} {r.student_momentum} {r.student_weight_decay}"
    generator = r.generator_lr, r.generator_weight_decay, r.generator_steps
    row = (student, r.student_steps, *generator, r.batch, r.stages, r.stages_per_epoch, r.schedule, r.conditional)
    assert (*row, r.pretrain_steps) == MAD[key]
    assert r.student_batch == r.batch
    assert (r.z_dim, r.momentum, r.lambda0, r.lambda1, r.logit_bound, r.memory) == (256, 0.95, 1, 1, 20, 8192)
    assert r.generator == {"tiny_imagenet": "mad_tiny_imagenet"}.get(
        r.dataset, "mad_cifar" if "cifar" in r.dataset else "mad_imagenet"
    )
    if r.schedule == "step":
        assert r.milestones == (100 / 300, 200 / 300)
    if r.conditional:
        assert (r.norm_scale, r.conditioning) == (1.1, "sum")
    assert 0.1 < r.lambda_nll < 3


@pytest.mark.parametrize(("paper", "key"), [*(("dfad", k) for k in DFAD), *(("arvi", k) for k in ARVI)], ids=str)
def test_dfads_numbers(paper, key):
    """AR+VI's text has none: it is run in DFAD's game."""
    r, row = of(paper)[key], DFAD[key]
    milestones = r.milestones if r.schedule == "step" else None
    made = (r.generator, r.z_dim, r.batch, r.student_lr, r.student_weight_decay, r.stages / 50, r.schedule, milestones)
    assert made == row
    assert (r.student_batch, r.stages_per_epoch, r.student_steps, r.generator_steps) == (r.batch, 50, 5, 1)
    assert (r.student_optimizer, r.student_momentum, r.generator_lr, r.generator_beta1) == ("sgd", 0.9, 1e-3, 0.9)
    assert (r.discrepancy, r.generator_width, r.reuse) == ("mae", 64, 1)


def test_mnist_at_our_schedule_is_digits_and_a_fifth_of_dfads_updates():
    ours, theirs = of("ours")["mnist", "lenet5-lenet5_half"], of("dfad")["mnist", "lenet5-lenet5_half"]
    assert ours.stages * ours.student_steps * 5 == theirs.stages * theirs.student_steps
    assert ours == Recipe().replace(dataset="mnist", stages=ours.stages, stages_per_epoch=ours.stages_per_epoch)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: f"{r.paper}-{r.dataset}-{r.pair}")
def test_a_recipes_networks_take_its_images(recipe):
    images = DATASETS[recipe.dataset]
    for network in (NETWORKS[recipe.teacher], NETWORKS[recipe.student]):
        assert network.channels in (None, images.channels) and network.size in (None, images.size)


# --- their sources ---------------------------------------------------------------------------------------------------

SOURCE = re.compile(
    r"ours|code|inferred|(DFAD|AR\+VI|MAD|HiDFD) (Section|Table|Tables|Appendix|Eq\.) [\w.-]+( \(inferred\))?"
)
READERS = [
    (method, recipe) for recipe in RECIPES for method, paper in METHOD_PAPERS.items() if recipe.paper == paper != "ours"
]


@pytest.mark.parametrize(("method", "recipe"), READERS, ids=lambda v: v if isinstance(v, str) else v.dataset + v.pair)
def test_every_value_that_a_papers_method_reads_says_where_it_is_from(method, recipe):
    """Those of a paper's own recipe say so expressly, and name that paper, code, our reading or us."""
    silent = [name for name in (*METHODS[method].uses, "dataset", "teacher", "student") if name not in recipe.sources]
    assert silent == []
    assert [source for source in recipe.sources.values() if not SOURCE.fullmatch(source)] == []
    name = {"dfad": "DFAD", "arvi": "AR+VI", "mad": "MAD", "hidfd": "HiDFD"}[recipe.paper]
    assert {source.split()[0] for source in recipe.sources.values()} <= {name, "ours", "code", "inferred"}


def test_what_is_replaced_says_given():
    recipe = of("dfad")["mnist", "lenet5-lenet5_half"].replace(batch=3, memory=4)
    assert (recipe.batch, recipe.sources["batch"], recipe.sources["memory"]) == (3, "given", "given")
    assert recipe.sources["student_lr"] == "DFAD Table 7" and recipe.sources["z_dim"] == "code"
    assert of("dfad")["mnist", "lenet5-lenet5_half"].sources["batch"] == "DFAD Table 7"  # the recipe itself stays
    assert recipe_for("cifar100", "mad", "vgg13_bn").sources["teacher"] == "given"
    assert recipe_for("cifar100", "mad", "wrn40_2").sources["teacher"] == "MAD Section 5.1"
    assert recipe_for("fashion_mnist").sources["dataset"] == "given"
    assert recipe.replace(student_lr=0.01).sources["student_lr"] == "DFAD Table 7"  # it holds anyway


def test_sources_are_no_part_of_what_a_recipe_is():
    assert Recipe().sourced("code", batch=128) == Recipe()
    assert "sources" not in Recipe().values()


def test_rows_are_a_table_of_settings():
    recipe = of("mad")["imagenet", "alexnet-alexnet"].replace(stages=7)
    rows = {name: (value, source) for name, value, source in recipe.rows()}
    assert set(rows) == set(recipe.values())
    assert rows["stages"] == ("7", "given")
    assert rows["momentum"] == ("0.95", "MAD Section 5.1")
    assert rows["student_lr"] == ("0.0001", "MAD Tables 5-7 (inferred)")
    assert rows["inversion_steps"] == ("100", "ours")  # which it does not name
    assert [name for name, _, _ in recipe.rows(METHODS["mad"].uses)] == [n for n in rows if n in METHODS["mad"].uses]
    assert all(isinstance(cell, str) for row in recipe.rows() for cell in row)


# --- whose is taken --------------------------------------------------------------------------------------------------

WRN, RESNET, LENET = "wrn40_2-wrn16_2", "resnet34_8x-resnet18_8x", "lenet5-lenet5_half"


@pytest.mark.parametrize(
    ("dataset", "method", "pair", "paper", "expected"),
    [
        ("cifar100", "mad", "auto-auto", "auto", ("mad", WRN)),
        ("cifar100", "abm", "auto-auto", "auto", ("mad", WRN)),
        ("cifar100", "dfkd_mem", "auto-auto", "auto", ("mad", WRN)),
        ("cifar100", "dfad", "auto-auto", "auto", ("dfad", RESNET)),
        ("cifar100", "arvi", "auto-auto", "auto", ("arvi", RESNET)),
        ("cifar100", "kd_ori", "auto-auto", "auto", ("dfad", RESNET)),  # nobody's: the first there is
        ("cifar100", "mad", RESNET, "auto", ("mad", RESNET)),
        ("cifar100", "mad", "resnet34_8x-auto", "auto", ("mad", RESNET)),
        ("cifar100", "mad", "auto-resnet18_8x", "auto", ("mad", RESNET)),
        ("cifar100", "mad", "vgg13_bn-auto", "auto", ("mad", "vgg13_bn-wrn16_2")),
        ("cifar100", "mad", "resnet34_8x-wrn16_1", "auto", ("mad", "resnet34_8x-wrn16_1")),
        ("cifar100", "dfad", WRN, "auto", ("dfad", WRN)),
        ("cifar100", "dfad", "auto-auto", "mad", ("mad", WRN)),
        ("cifar100", "mad", WRN, "dfad", ("dfad", WRN)),
        ("cifar10", "mad", "auto-auto", "auto", ("mad", WRN)),
        ("mnist", "dfad", "auto-auto", "auto", ("dfad", LENET)),
        ("mnist", "dfad", "auto-auto", "ours", ("ours", LENET)),
        ("mnist", "arvi", "auto-auto", "auto", ("arvi", LENET)),
        ("mnist", "mad", "auto-auto", "auto", ("ours", LENET)),
        ("mnist", "random", "auto-auto", "auto", ("ours", LENET)),
        ("mnist", "mad", "auto-auto", "dfad", ("dfad", LENET)),
        ("digits", "dfad", "auto-auto", "auto", ("ours", LENET)),
        ("digits_half", "mad", "auto-lenet5", "ours", ("ours", "lenet5-lenet5")),
        ("caltech101", "mad", "auto-auto", "auto", ("dfad", "resnet34-resnet18")),
        ("tiny_imagenet", "dfad", "auto-auto", "auto", ("mad", RESNET)),
        ("imagenet", "mad", "auto-auto", "auto", ("mad", "alexnet-alexnet")),
        ("fashion_mnist", "mad", "auto-auto", "auto", ("ours", LENET)),
        ("svhn", "mad", "auto-auto", "auto", ("ours", RESNET)),
        ("svhn", "dfad", "auto-auto", "ours", ("ours", RESNET)),
        ("digits_hybrid", "hidfd", "auto-auto", "auto", ("hidfd", LENET)),
        ("digits_hybrid", "mad", "auto-auto", "auto", ("ours", LENET)),
        ("digits", "hidfd", "auto-auto", "auto", ("hidfd", LENET)),
        ("mnist", "degan", "auto-auto", "auto", ("hidfd", LENET)),
        ("mnist", "kd_collected", "auto-auto", "auto", ("hidfd", LENET)),
        ("cifar100", "hidfd", "auto-auto", "auto", ("hidfd", RESNET)),
        ("cifar100", "hidfd", "vgg16_bn-auto", "auto", ("hidfd", "vgg16_bn-vgg13_bn")),
        ("svhn", "hidfd", "auto-auto", "auto", ("hidfd", RESNET)),
    ],
)
def test_lookup(dataset, method, pair, paper, expected):
    teacher, student = pair.split("-")
    recipe = recipe_for(dataset, method, teacher, student, paper)
    assert (recipe.dataset, (recipe.paper, recipe.pair)) == (dataset, expected)
    # But for a pair or a data set of one's own it is one of the list, as it stands.
    known = of(recipe.paper).get((dataset, recipe.pair))
    if known and method in ("degan", "kd_collected"):
        known = known.replace(**{"degan": {"distill": "kd"}, "kd_collected": {"stages": 50}}[method])
    assert known is None or recipe == known


def test_a_named_pair_brings_its_own_settings():
    assert recipe_for("cifar100", "mad", "resnet34_8x", "resnet18_8x").student_steps == 30
    assert recipe_for("cifar100", "mad", "wrn40_2", "wrn16_2").student_steps == 60


@pytest.mark.parametrize(("dataset", "like"), [("kmnist", "mnist"), ("usps", "mnist"), ("svhn", "cifar10")])
def test_a_data_set_that_no_paper_used_runs_like_one_of_its_kind(dataset, like):
    known = of("ours").get((like, LENET)) or of("dfad")[like, RESNET]
    assert recipe_for(dataset) == known.replace(dataset=dataset, paper="ours")


def test_a_data_set_of_ones_own_has_a_recipe(tmp_path, monkeypatch):
    monkeypatch.setenv("DFKD_DATA", str(tmp_path))
    (tmp_path / "mine.npz").touch()
    assert recipe_for("mine").values() == recipe_for("svhn").replace(dataset="mine").values()


def test_an_unknown_data_set_has_no_recipe():
    message = refusal(lambda: recipe_for("cifar1000"))
    assert "did you mean 'cifar100'" in message
    assert all(name in message for name in DATASETS)


@pytest.mark.parametrize(
    ("dataset", "paper", "words"),
    [
        ("mnist", "mad", "recipe: mad has none for mnist; allowed with mnist: arvi, dfad, hidfd, ours"),
        ("cifar100", "ours", "recipe: ours has none for cifar100; allowed with cifar100: arvi, dfad, hidfd, mad"),
        ("svhn", "dfad", "recipe: dfad has none for svhn; allowed with svhn: ours"),
        ("digits", "hidfdd", "recipe: 'hidfdd' is not known"),
        ("digits", "dfat", "did you mean 'dfad'"),
    ],
)
def test_a_paper_without_a_recipe_lists_those_that_have_one(dataset, paper, words):
    message = refusal(lambda: recipe_for(dataset, "mad", paper=paper))
    assert words in message
    if "is not known" in message:
        assert all(name in message for name in PAPERS)
