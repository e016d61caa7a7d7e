"""The papers' tables, as typed, agree with what their texts and other columns say, and with what chapters type."""

import ast
from decimal import Decimal

import pytest
from chapters import ROOT

from dfkd_lib import papers
from dfkd_lib.catalogue import DATASETS, NETWORKS
from dfkd_lib.methods import METHODS
from dfkd_lib.papers import SYSTEMS
from dfkd_lib.recipe import SETTINGS

PAIR = ("resnet34_8x", "resnet18_8x")


def of(paper: str, table: str, dataset: str, name: str, pair: tuple[str, str] | None = None) -> papers.System:
    found = [s for s in SYSTEMS if (s.paper, s.table, s.dataset, s.name) == (paper, table, dataset, name)]
    [system] = [s for s in found if pair in (None, (s.teacher, s.student))]
    return system


def figure(*key) -> Decimal:
    return of(*key).figure


@pytest.mark.parametrize(
    ("paper", "table", "count"),
    [
        *(("dfad", "2", 4 * 6), ("dfad", "3", 2 * 6), ("arvi", "1", 3 * 7 - 1), ("mad", "1", 5 * 9 - 9)),
        *(("mad", "2", 6 * 3), ("hidfd", "1", 14 * 15), ("hidfd", "2", 2 * 16), ("hidfd", "3", 8 * 2)),
    ],
)
def test_every_cell_of_a_table_is_there(paper, table, count):
    systems = [s for s in SYSTEMS if (s.paper, s.table) == (paper, table)]
    assert len(systems) == count
    assert len({(s.dataset, s.teacher, s.student, s.name) for s in systems}) == count
    assert all(s.teacher_figure is None for s in systems) == (table == "3" and paper == "hidfd")
    assert [s.figure is None for s in systems].count(True) == (paper == "dfad" and table == "2")  # "FAILED"


def test_names_are_the_librarys():
    for system in SYSTEMS:
        assert system.dataset in (*DATASETS, *papers.SEGMENTATION)
        assert system.method is None or system.method in METHODS
        if system.dataset in DATASETS:
            assert {system.teacher, system.student} <= set(NETWORKS)
        assert {change.partition("=")[0] for change in system.changes} <= SETTINGS
        assert system.paper in papers.NAMES and system.paper in papers.FIGURES


def test_figures_are_percentages():
    for system in SYSTEMS:
        for value in (system.teacher_figure, system.figure):
            assert value is None or 1 <= value <= 100
        assert system.spread is None or 0 <= system.spread < 5


# --- what the papers print beside their figures -----------------------------------------------------------------------

DROPS = {  # HiDFD Table 2, in brackets: what is lost to HiDFD on CIFAR-10 and CIFAR-100
    "w/o L_blend": ("1.87", "2.75"), "w/o L_trans": ("2.88", "2.53"), "w/o L_reg": ("1.98", "2.98"),
    "w/o L_blend, L_trans": ("3.64", "5.91"), "w/o L_blend, L_reg": ("3.97", "5.10"),
    "w/o L_trans, L_reg": ("3.32", "4.83"), "w/o L_blend, L_trans, L_reg": ("5.19", "6.68"),
    "OFAKD": ("1.86", "6.07"), "VKD": ("2.05", "9.97"), "SemcKD": ("1.25", "6.00"), "CC": ("2.11", "7.41"),
    "DKD": ("1.79", "8.68"), "RKD": ("2.34", "6.40"), "CATKD": ("2.25", "8.24"), "NKD": ("1.48", "11.62"),
}  # fmt: skip
GAINS = {  # HiDFD Table 3, its last column
    ("cifar10", "resnet110"): "1.67", ("cifar10", "shufflenet_v2"): "0.39", ("cifar10", "resnet116"): "1.62",
    ("cifar10", "wrn40_2"): "0.49", ("cifar100", "resnet110"): "1.38", ("cifar100", "shufflenet_v2"): "2.43",
    ("cifar100", "resnet116"): "0.03", ("cifar100", "wrn40_2"): "-0.66",
}  # fmt: skip


@pytest.mark.parametrize("name", DROPS)
def test_hidfds_ablation_has_the_drops_that_are_printed(name):
    drops = [figure("hidfd", "2", d, "HiDFD") - figure("hidfd", "2", d, name) for d in ("cifar10", "cifar100")]
    assert drops == [Decimal(drop) for drop in DROPS[name]]


@pytest.mark.parametrize(("dataset", "student"), GAINS)
def test_hidfds_other_networks_have_the_gains_that_are_printed(dataset, student):
    here = {s.name: s.figure for s in SYSTEMS if (s.table, s.dataset, s.student) == ("3", dataset, student)}
    assert here["HiDFD, ρ = 1.0"] - here["Student"] == Decimal(GAINS[dataset, student])


def test_arvis_differences():
    """Its Section 4.2, in points and in per cent of the other's accuracy."""
    ours, theirs = figure("arvi", "1", "cifar100", "Proposed"), figure("arvi", "1", "cifar100", "DFAL")
    assert ours - theirs == Decimal("9.35") and round(100 * (ours / theirs - 1), 1) == Decimal("13.8")
    assert figure("arvi", "1", "cifar100", "FITNET") - ours == Decimal("3.44")
    ten = figure("arvi", "1", "cifar10", "Proposed")
    assert ten / figure("arvi", "1", "cifar10", "DFL") - 1 == pytest.approx(Decimal("0.078"), abs=Decimal("0.0005"))


def test_mads_differences():
    """Its Section 5.2.2: to ABM and DFKD-Mem; cut off or rounded."""
    text = {"cifar100": (1.5, 2.8), "tiny_imagenet": (2.5, 3.6), "imagenet": (4.2, 2.2)}
    for dataset, differences in text.items():
        for name, printed in zip(("ABM", "DFKD-Mem"), differences, strict=True):
            gap = figure("mad", "2", dataset, "MAD") - figure("mad", "2", dataset, name)
            assert float(gap) == pytest.approx(printed, abs=0.1)


# --- one paper's figures in another's table ---------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_hidfd_quotes_what_mad_quotes(dataset):
    names = {"Student": "Student", "DAFL": "DAFL", "ADI": "DI", "CMI": "CMI"}
    for theirs, quoted in names.items():
        one, other = of("mad", "1", dataset, theirs, PAIR), of("hidfd", "1", dataset, quoted, PAIR)
        assert (one.teacher_figure, one.figure) == (other.teacher_figure, other.figure)


def test_a_quoted_row_has_the_teacher_that_it_had():
    for dataset in ("mnist", "cifar10", "cifar100"):
        for theirs, quoted in (("DAFL", "DFL"), ("Ours", "DFAL")):
            quote = of("arvi", "1", dataset, quoted)
            assert quote.teacher_figure == of("dfad", "2", dataset, theirs).teacher_figure
            assert abs(quote.figure - figure("dfad", "2", dataset, theirs)) <= Decimal("0.2")
    assert of("arvi", "1", "cifar100", "DFAL").lost == Decimal("9.8")
    for dataset in ("cifar10", "cifar100"):  # the same student's, in MAD's two tables
        one, other = of("mad", "1", dataset, "MAD", ("wrn40_2", "wrn16_2")), of("mad", "2", dataset, "MAD")
        assert (one.teacher_figure, one.figure) == (other.teacher_figure, other.figure)
    assert of("mad", "1", "cifar10", "MAD", PAIR).teacher_figure == Decimal("95.46")  # its Table B.1


def test_hidfds_marks_are_read_by_their_figures():
    """ResNet-34's accuracy with VGG-13, VGG-16's with VGG-13; and one student's by itself in both."""
    for dataset in ("cifar10", "cifar100", "cinic10", "tiny_imagenet"):
        tops = {
            (s.teacher, s.student): s for s in SYSTEMS
            if (s.paper, s.table, s.dataset, s.name) == ("hidfd", "1", dataset, "Student")
        }  # fmt: skip
        big, both, small = (tops[pair] for pair in (PAIR, ("resnet34_8x", "vgg13_bn"), ("vgg16_bn", "vgg13_bn")))
        assert big.teacher_figure == both.teacher_figure > small.teacher_figure
        assert both.figure == small.figure < big.figure
    for dataset in ("cifar10", "cifar100"):
        assert figure("hidfd", "2", dataset, "HiDFD") == figure("hidfd", "1", dataset, "HiDFD, ρ = 0.1", PAIR)


# --- chapters type some of them again ---------------------------------------------------------------------------------


def typed(chapter: str, name: str):
    """A chapter's dictionary of that name."""
    tree = ast.parse((ROOT / "book" / f"{chapter}.py").read_text())
    [value] = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name
    ]
    return ast.literal_eval(value)


def called(name: str) -> str:
    plain = name.lower().replace("-", "")
    return {"tinyimagenet": "tiny_imagenet"}.get(plain, plain)


def by_method(paper: str, table: str, dataset: str, pair: tuple[str, str] | None = None) -> dict[str, papers.System]:
    return {
        s.method: s
        for s in SYSTEMS
        if (s.paper, s.table, s.dataset) == (paper, table, dataset) and pair in (None, (s.teacher, s.student))
    }


def test_chapter_0_and_1_type_dfads():
    systems = by_method("dfad", "2", "mnist")
    for method, (mean, deviation) in typed("00_foundations", "PAPER").items():
        assert (mean, deviation) == (float(systems[method].figure), float(systems[method].spread))
    for name, row in typed("01_dfad", "PAPER").items():
        system = by_method("dfad", "2", called(name))["dfad"]
        assert row == (float(system.teacher_figure), float(system.figure))


def test_chapter_2_types_arvis():
    for dataset, rows in typed("02_arvi", "PAPER").items():
        systems = by_method("arvi", "1", dataset)
        assert rows.keys() == systems.keys()
        for method, row in rows.items():
            assert row == (float(systems[method].figure), float(systems[method].teacher_figure))


def test_chapter_3_types_mads():
    for name, row in typed("03_mad", "PAPER").items():
        systems = by_method("mad", "2", called(name))
        students = [systems[method] for method in ("abm", "dfkd_mem", "mad")]
        assert row == (float(students[0].teacher_figure), *(float(s.figure) for s in students))


def test_chapter_4_types_hidfds():
    for name, row in typed("04_hidfd", "TABLE_1").items():
        here = [s for s in SYSTEMS if (s.paper, s.table, s.dataset) == ("hidfd", "1", called(name))]
        here = {s.name: s for s in here if s.student.startswith("resnet18")}
        few, many = here["HiDFD, ρ = 0.1"], here["HiDFD, ρ = 1.0"]
        assert row == (float(few.teacher_figure), float(few.figure), float(many.figure))
    rows = {
        tuple(f"{n}={v}" for n, v in changes.items()): figures
        for changes, *figures in typed("04_hidfd", "PARTS").values()
    }
    rows |= {(f"distill={loss}",): figures for loss, (_, *figures) in typed("04_hidfd", "LOSSES").items() if figures[0]}
    for changes, figures in rows.items():
        here = [s for s in SYSTEMS if (s.paper, s.table, s.changes) == ("hidfd", "2", changes)]
        assert [float(s.figure) for s in here] == figures
