"""What the four papers report: every cell of their tables of results, typed once. Pure data; no torch here.

The tables stand below as they are printed, but for the marks of the best. `SYSTEMS` is made of them: one entry for each
figure, in percent, with its teacher's, and with what this library calls its parts.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

NAMES = {"dfad": "DFAD", "arvi": "AR+VI", "mad": "MAD", "hidfd": "HiDFD"}
# What a figure is, as the paper says it.
FIGURES = {
    "dfad": "the best test of a run: mean and standard deviation of five runs (Section 4.2)",
    "arvi": "not said whether best or last; one figure, no spread",
    "mad": "not said whether best or last; one figure, no spread",
    "hidfd": "not said whether best or last; one figure, no spread",
}
SEGMENTATION = ("camvid", "nyuv2")  # mIoU, where the other data sets have accuracy


@dataclass(frozen=True)
class System:
    """One figure of a paper: a student, how it was trained, and its teacher.

    `name` is the paper's for the method, `method` the library's, None where it has none; `changes` are the settings
    (NAME=VALUE) that the row differs in from its recipe. Figures are in percent, with the digits that are printed:
    None for a teacher's that the table does not have, and for a student that is said to have failed.
    """

    paper: str
    table: str
    dataset: str
    teacher: str
    student: str
    name: str
    method: str | None
    changes: tuple[str, ...]
    teacher_figure: Decimal | None
    figure: Decimal | None
    spread: Decimal | None = None

    @property
    def lost(self) -> Decimal | None:
        """What the student lacks to its teacher, in points."""
        return None if self.figure is None or self.teacher_figure is None else self.teacher_figure - self.figure


# --- the tables -------------------------------------------------------------------------------------------------------

_DFAD_2 = """
                 mnist        cifar10       cifar100     caltech101
Teacher          0.989          0.955          0.775          0.766
KD-ORI   0.988 ± 0.001  0.939 ± 0.011  0.733 ± 0.003  0.775 ± 0.002
KD-REL   0.960 ± 0.006  0.912 ± 0.002  0.690 ± 0.004  0.748 ± 0.003
KD-UNR   0.957 ± 0.007  0.445 ± 0.012  0.133 ± 0.003  0.352 ± 0.015
RANDOM   0.747 ± 0.033  0.101 ± 0.002  0.015 ± 0.001  0.010 ± 0.000
DAFL     0.981 ± 0.001  0.885 ± 0.003  0.614 ± 0.005         FAILED
Ours     0.983 ± 0.002  0.933 ± 0.000  0.677 ± 0.003  0.735 ± 0.008
"""
_DFAD_3 = """
         camvid  nyuv2
Teacher   0.594  0.517
KD-ORI    0.535  0.380
KD-REL    0.475  0.396
KD-UNR    0.406  0.265
RANDOM    0.018  0.021
DAFL      0.010  0.105
Ours      0.535  0.364
"""
_ARVI_1 = """
          mnist  cifar10  cifar100
Teacher   98.89    97.20     81.13
KD        98.67    95.55     77.61
FITNET        -    96.24     80.49
AT        98.42    96.30     78.54
FT        97.84    95.29     76.93
DFL       98.20     88.5      61.4
DFAL      98.30     93.5      67.7
Proposed  98.41    95.42     77.05
"""
# Its column Arch. is lost; the pairs follow from the text (Section 5.2.1) and from where the figures are taken.
_MAD_1 = """
                   Teacher  Student   DAFL   ZSKT    ADI   DFAD   DDAD    DFQ    CMI    MAD
cifar10, RR          95.70    95.20  92.22  93.32  93.26  93.30  94.81  94.61  94.84  94.90
cifar10, WW          94.87    93.95  81.55  89.66  89.72      -      -  92.01  92.52  92.64
cifar100, RR         78.05    77.10  74.47  67.74  61.32  69.43  75.04  77.01  77.04  77.31
cifar100, WW         75.83    73.56  40.00  28.44  61.34      -      -  59.01  68.75  64.05
tiny_imagenet, RR    66.44    64.87      -      -      -      -      -  63.73  64.01  62.32
"""
_MAD_2 = """
          cifar10  cifar100  tiny_imagenet  imagenet  places365  food101
Teacher     94.65     75.65          66.47     56.52      50.80    65.15
ABM         92.38     62.59          59.75     41.23      41.84    60.37
DFKD-Mem    92.09     61.25          58.66     43.30      42.38    61.25
MAD         92.64     64.05          62.32     45.48      43.67    61.74
"""
_MAD_B1 = """
      cifar10:RR  cifar10:WW  cifar100:RR  cifar100:WW  tiny_imagenet:RR
Ours       95.46       94.65        78.55        75.65             66.47
"""
# By its caption the square is ResNet34-VGG13, and the triangle VGG16-VGG13; the figures say the opposite (see errata).
# °: ρ = 0.1, *: ρ = 1.0.
_HIDFD_1 = """
              Teacher Student  DAFL  DDAD    DI   PRE   CMI SSNet DeGAN° DeGAN* DFND° DFND*  KD³°  KD³* HiDFD° HiDFD*
cifar10, RR       95.70 95.20 92.22 93.08 93.26 93.25 94.84 95.39  90.39  91.95 48.82 85.82 65.70 93.37  94.74  95.11
cifar10, VV       94.07 92.69 86.92 90.85 85.27 91.82 88.49 92.00  87.52  90.37 48.65 89.22 48.93 91.49  92.28  93.14
cifar10, RV       95.70 92.69 83.36 89.76 90.24 91.53 86.63 92.03  86.40  89.69 49.48 90.60 65.10 93.05  92.90  93.76
cifar100, RR      78.05 77.10 74.47 73.64 61.32 74.19 77.04 77.41  53.20  62.94 21.45 64.73 26.96 72.90  76.93  78.35
cifar100, VV      74.53 72.28 65.36 68.33 60.00 70.34 59.70 71.16  53.97  61.80 23.48 63.90 21.27 71.44  71.26  74.18
cifar100, RV      78.05 72.28 45.28 68.59 61.07 67.49 61.80 72.38  46.82  56.44 23.86 64.54 25.25 72.46  73.44  75.65
cinic10, RR       86.62 85.09 60.54 80.10 78.57 77.56 78.47 83.47  57.59  76.78 24.53 80.94 39.35 82.68  85.62  86.68
cinic10, VV       84.22 83.28 59.08 77.90 68.90 65.38 74.99 79.63  54.36  76.11 29.53 77.41 29.88 78.18  81.92  82.27
cinic10, RV       86.62 83.28 44.62 77.63 59.52 63.23 75.46 80.30  54.43  74.40 33.40 79.33 71.57 80.28  81.90  82.88
tiny_imagenet, RR 66.44 64.87 52.20 59.84  6.98 50.15 64.01 64.04  25.74  49.11 26.36 60.09 20.26 63.63  65.96  66.61
tiny_imagenet, VV 62.34 61.55 53.89 42.25  1.22 45.92 17.73 57.82  23.13  44.65 25.39 58.47 24.26 61.06  60.46  62.69
tiny_imagenet, RV 66.44 61.55 52.46 44.20  2.27 47.22 20.57 59.16  21.09  48.12 25.53 58.18 27.37 61.98  61.67  65.27
ham10000, LL      81.18 79.64 32.05 44.68 62.79 63.20 67.34 74.52  34.75  64.43 27.55 62.59 64.10 68.44  77.08  81.52
imagenet, LL      73.27 67.00  1.92  1.46  1.14  1.60  1.84  5.74  22.28  43.96 28.99 45.66 35.02 55.05  65.36  66.89
"""
# ResNet-34 to ResNet-18 at ρ = 0.1; the teachers' are those of Table 1.
_HIDFD_2 = """
                             cifar10  cifar100
Teacher                        95.70     78.05
w/o L_blend                    92.87     74.18
w/o L_trans                    91.86     74.40
w/o L_reg                      92.76     73.95
w/o L_blend, L_trans           91.10     71.02
w/o L_blend, L_reg             90.77     71.83
w/o L_trans, L_reg             91.42     72.10
w/o L_blend, L_trans, L_reg    89.55     70.25
OFAKD                          92.88     70.86
VKD                            92.69     66.96
SemcKD                         93.49     70.93
CC                             92.63     69.52
DKD                            92.95     68.25
RKD                            92.40     70.53
CATKD                          92.49     68.69
NKD                            93.26     65.31
HiDFD                          94.74     76.93
"""
_HIDFD_3 = """
                                    Student  HiDFD*
cifar10, resnet32x4-resnet110         93.37   95.04
cifar10, resnet32x4-shufflenet_v2     93.23   93.62
cifar10, resnet110x2-resnet116        93.21   94.83
cifar10, resnet110x2-wrn40_2          94.86   95.35
cifar100, resnet32x4-resnet110        74.31   75.69
cifar100, resnet32x4-shufflenet_v2    72.60   75.03
cifar100, resnet110x2-resnet116       74.46   74.49
cifar100, resnet110x2-wrn40_2         76.31   75.65
"""

# --- what the library calls it ----------------------------------------------------------------------------------------

_PAIRS = {
    **{"RR": "resnet34_8x-resnet18_8x", "WW": "wrn40_2-wrn16_2", "VV": "vgg16_bn-vgg13_bn"},
    **{"RV": "resnet34_8x-vgg13_bn", "LL": "resnet34-resnet18"},
}
_DFAD_PAIRS = {
    "mnist": "lenet5-lenet5_half",
    **dict.fromkeys(("cifar10", "cifar100"), _PAIRS["RR"]),
    "caltech101": _PAIRS["LL"],
    **dict.fromkeys(SEGMENTATION, "deeplabv3_resnet50-deeplabv3_mobilenetv2"),
}
_MAD_PAIRS = {
    **dict.fromkeys(("cifar10", "cifar100"), _PAIRS["WW"]),
    "tiny_imagenet": _PAIRS["RR"],
    **dict.fromkeys(("imagenet", "places365", "food101"), "alexnet-alexnet"),
}
_HIDFD_PAIRS = dict.fromkeys(("cifar10", "cifar100"), _PAIRS["RR"])

_METHODS = {
    **{"KD-ORI": "kd_ori", "KD-REL": "kd_rel", "KD-UNR": "kd_unr", "RANDOM": "random", "DAFL": "dafl", "DFAD": "dfad"},
    **{"KD": "kd_ori", "FITNET": "fitnet", "AT": "at", "FT": "ft", "DFL": "dafl", "DFAL": "dfad", "Proposed": "arvi"},
    **{"ADI": "deepinversion", "DI": "deepinversion", "ABM": "abm", "DFKD-Mem": "dfkd_mem", "MAD": "mad"},
    **{"DeGAN": "degan", "HiDFD": "hidfd", "Ours": "dfad"},
}
_WITHOUT = {  # HiDFD Table 2, upper half
    "w/o L_blend": ("integration=transfer",),
    "w/o L_trans": ("integration=blend",),
    "w/o L_reg": ("lambda_g=0.0",),
    "w/o L_blend, L_trans": ("lambda_d=0.0",),
    "w/o L_blend, L_reg": ("integration=transfer", "lambda_g=0.0"),
    "w/o L_trans, L_reg": ("integration=blend", "lambda_g=0.0"),
    "w/o L_blend, L_trans, L_reg": ("lambda_d=0.0", "lambda_g=0.0"),
}
_DISTILLED = {"VKD": "kd", "CC": "cc", "DKD": "dkd", "RKD": "rkd", "NKD": "nkd"}  # the lower half


_CELL = r"(?<=\s)(?:\d+\.\d+(?: ± \d+\.\d+)?|-|FAILED)(?=\s|$)"
_RATIOS = {"°": "0.1", "*": "1.0"}


def _parts(name: str) -> tuple[str, str | None, tuple[str, ...]]:
    """Of a row's or a column's name: how it is shown, the library's method, and the settings that differ."""
    if name in _WITHOUT:
        return name, "hidfd", _WITHOUT[name]
    if name in _DISTILLED:
        return name, "hidfd", (f"distill={_DISTILLED[name]}",)
    ratio = _RATIOS.get(name[-1])
    plain = name[:-1] if ratio else name
    method = _METHODS.get(plain)
    more = ratio == "1.0" and method is not None  # 0.1 is the recipe's
    return f"{plain}, ρ = {ratio}" if ratio else name, method, ("collected_ratio=1.0",) if more else ()


def _cells(text: str) -> dict[str, dict[str, str]]:
    """Row, column: cell. A row's label ends where its first cell begins."""
    head, *rows = text.strip().splitlines()
    cells = {}
    for row in rows:
        label = row[: re.search(_CELL, row).start()].strip()
        cells[label] = dict(zip(head.split(), re.findall(_CELL, row), strict=True))
    return cells


def _number(cell: str, shift: int) -> tuple[Decimal | None, Decimal | None]:
    """The figure and its spread, in percent; none of what is no number."""
    parts = [Decimal(part).scaleb(shift) for part in re.findall(r"\d+\.\d+", cell)]
    return (*parts, None, None)[:2]


def _systems(
    paper: str, table: str, cells: Mapping[str, Mapping[str, str]], pairs: Mapping[str, str]
) -> Iterator[System]:
    """`cells`: of each data set (and pair), all rows' cells by name. A dash is no figure, and so no system."""
    shift = 2 if paper == "dfad" else 0
    for place, row in cells.items():
        dataset, _, pair = place.partition(", ")
        teacher, _, student = (_PAIRS.get(pair, pair) or pairs[dataset]).partition("-")
        top, _ = _number(row.get("Teacher", ""), shift)
        for name, cell in row.items():
            if name != "Teacher" and cell != "-":
                shown, method, changes = _parts(name)
                its = _OTHER_TEACHERS.get((paper, table, name), {}).get(place, top)
                yield System(
                    *(paper, table, dataset, teacher, student, shown, method, changes, its), *_number(cell, shift)
                )


def _turned(cells: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Rows for columns."""
    columns = next(iter(cells.values()))
    return {column: {row: values[column] for row, values in cells.items()} for column in columns}


# Figures that are not of the teacher above them. AR+VI copies two rows of DFAD's. MAD's own teachers stand in its
# Table B.1, and in Table 1 those of the papers that it takes the other figures from.
_DFAD_TEACHERS = {dataset: _number(cell, 2)[0] for dataset, cell in _cells(_DFAD_2)["Teacher"].items()}
_MAD_TEACHERS = {place: _number(cell, 0)[0] for place, cell in _cells(_MAD_B1)["Ours"].items()}
_OTHER_TEACHERS = {
    **dict.fromkeys((("arvi", "1", "DFL"), ("arvi", "1", "DFAL")), _DFAD_TEACHERS),
    ("mad", "1", "MAD"): {place.replace(":", ", "): top for place, top in _MAD_TEACHERS.items()},
}

SYSTEMS: tuple[System, ...] = (
    *_systems("dfad", "2", _turned(_cells(_DFAD_2)), _DFAD_PAIRS),
    *_systems("dfad", "3", _turned(_cells(_DFAD_3)), _DFAD_PAIRS),
    *_systems("arvi", "1", _turned(_cells(_ARVI_1)), _DFAD_PAIRS),
    *_systems("mad", "1", _cells(_MAD_1), {}),
    *_systems("mad", "2", _turned(_cells(_MAD_2)), _MAD_PAIRS),
    *_systems("hidfd", "1", _cells(_HIDFD_1), {}),
    *_systems("hidfd", "2", _turned(_cells(_HIDFD_2)), _HIDFD_PAIRS),
    *_systems("hidfd", "3", _cells(_HIDFD_3), {}),
)
