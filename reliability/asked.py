"""What is asked for in words: the parameters of a chapter, and the two command lines."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from dfkd_lib import parameters as checked
from dfkd_lib import run, teachers
from dfkd_lib.methods import METHODS
from dfkd_lib.recipe import CHOICES, SETTINGS, Recipe
from reliability.trial import Case, Status, command
from reliability.values import ODD, WORDS

NETWORKS = ("lenet5", "lenet5_half", "wrn16_2", "resnet18", "vgg11_bn")  # some that README and `list` name
DATASETS = ("digits", "digits_half", "moons", "mnist", "cifar100", "imagenet")
SHARES = ("momentum", "student_momentum", "data_share", "gan_momentum", "gate_q", "gamma", "frequency_floor")
OFF = ("pretrain_steps", "inflation")  # numbers of steps that may be 0

# The rules of a chapter's parameters, as its comments and README tell them.
RULES: dict[str, Callable[[Any], bool]] = {
    "dataset": lambda v: isinstance(v, str) and v in DATASETS,
    "teacher": lambda v: isinstance(v, str) and v in ("auto", *NETWORKS),
    "student": lambda v: isinstance(v, str) and v in ("auto", *NETWORKS),
    "seed": lambda v: type(v) is int and 0 <= v < 2**31,
    "seeds": lambda v: type(v) is int and 1 <= v <= 100,
    "budget": lambda v: (type(v) is int and 0 < v < 2**31) or (type(v) is str and v in ("auto", "full", "short")),
    "device": lambda v: isinstance(v, str) and v in ("auto", "cpu"),
    "precision": lambda v: isinstance(v, str) and v in ("auto", "bfloat16", "float32", "plain"),
    "momentum": lambda v: type(v) in (int, float) and 0 <= v <= 1,
    "overrides": lambda v: isinstance(v, str) and not v.split(),
    "output_dir": lambda v: isinstance(v, str) and bool(v.strip()) and v.isprintable(),
}
USUAL = {"dataset": "digits", "teacher": "auto", "student": "auto", "seed": 0, "budget": "auto", "device": "cpu"}


def parameters(chance: Random) -> Case:
    """A chapter's parameters, one of them odd; or one that no chapter has."""
    if chance.random() < 0.1:
        name = chance.choice(("datset", "Seed", "lr", "momentun", "x" * 50, "seed "))
        return Case("parameters", f"{name} = 1", lambda f: checked.check_parameters(USUAL | {name: 1}), names=(name,))
    name = chance.choice(list(RULES))
    value = chance.choice([*(odd for odd in ODD if not callable(odd)), *DATASETS, *NETWORKS])
    if name == "overrides" and chance.random() < 0.8:
        setting, good = _setting(chance)
        value = setting
    else:
        good = bool(RULES[name](value))

    def kept(found: Any, folder: Path) -> bool:
        got = vars(found)[name]
        return got == {"overrides": str(value).split(), "device": "cpu"}.get(name, value)

    return Case(
        "parameters",
        f"{name} = {value!r:.80}",
        lambda f: checked.check_parameters(USUAL | {name: value}),
        good=good,
        names=(name,),
        right=kept,
    )


def _setting(chance: Random) -> tuple[str, bool]:
    """NAME=VALUE for a recipe, and whether the recipe's comments allow it."""
    name = chance.choice(sorted(SETTINGS))
    usual = getattr(Recipe(), name)
    if name == "collected_from":
        return (f"{name}=usps", True) if chance.random() < 0.5 else (f"{name}=../usps", False)
    if name in CHOICES:
        good, bad = CHOICES[name], ("x", "", usual.upper(), f"'{usual}'")
    elif isinstance(usual, bool):
        good, bad = ("True", "False"), ("true", "1", "", "None", "yes")
    elif isinstance(usual, int):
        good, bad = ("1", "7"), ("-1", "1.5", "True", "nan", "", "1e3", "2147483648")
        bad += () if name in OFF else ("0",)
    elif isinstance(usual, float):
        good = ("0.5",) if name != "collected_imbalance" else ("0", "1", "3.5")
        bad = ("nan", "-1", "inf", "1e999", "True", "x", "", "None", "(1,)", "1j", "[" * 999, "-0.1")
        bad += ("1.01",) if name in SHARES else ()
    else:
        good, bad = ("(0.5,)", "(0,1)", "()"), ("0.5", "[0.5]", "(2,)", "('x',)", "(nan,)", "", "((0,),)")
    allowed = chance.random() < 0.3
    return f"{name}={chance.choice(good if allowed else bad)}", allowed


# A run that takes less than a second.
TINY = {
    "generator_width": "2", "z_dim": "6", "batch": "8", "student_batch": "8", "generator_steps": "1",
    "student_steps": "1",
}  # fmt: skip
GAMES = ("dfad", "arvi", "abm", "mad")


def tiny(method: str = "mad", **options: str) -> dict[str, str]:
    """The options of such a run."""
    usual = {"--method": method, "--dataset": "digits", "--device": "cpu", "--precision": "float32"}
    return usual | {"--budget": "2", "--output-dir": "out"} | options


def words_of(options: dict[str, str], settings: dict[str, str]) -> list[str]:
    words = [f"{name}={value}" for name, value in options.items()]
    return words + [f"--set={name}={value}" for name, value in settings.items()]


def _in(folder: Path, main: Callable[[list[str]], int], words: list[str]) -> Status:
    os.environ["DFKD_CACHE"] = str(folder / "cache")
    # A relative output folder lies in the checkout.
    return command(main, *(w.replace("--output-dir=out", f"--output-dir={folder / 'out'}") for w in words))


def _finished(seed: int) -> Callable[[object, Path], bool]:
    def right(value: object, folder: Path) -> bool:
        [record] = (folder / "out").glob("*.json")
        made = json.loads(record.read_text())
        left = {path.suffix for path in (folder / "out").iterdir()}
        return made["seed"] == seed and made["history"]["stage"][-1] == 2 and left == {".json", ".safetensors", ".lock"}

    return right


RUN_RULES: dict[str, Callable[[str], bool]] = {
    "--method": lambda v: v in METHODS,
    "--dataset": lambda v: v == "digits",
    "--pair": lambda v: v == "auto",
    "--recipe": lambda v: v in ("auto", "ours"),
    "--seed": lambda v: v.isdecimal() and int(v) < 2**31,
    "--budget": lambda v: v in ("auto", "full", "short") or (v.isdecimal() and 0 < len(v) < 12 and 0 < int(v) < 2**31),
    "--device": lambda v: v in ("auto", "cpu"),
    "--precision": lambda v: v in ("auto", "bfloat16", "float32", "plain"),
    "--compile": lambda v: v in ("auto", "off", "on"),
    "--checkpoint-every": lambda v: v.isdecimal() and 0 < int(v) < 2**31,
}
ENDINGS = {"--checkpoint-every": "checkpoint-every"}


def run_command(chance: Random) -> Case:
    """`python -m dfkd_lib.run`, with an odd option, an odd setting or a word too many; sometimes right."""
    roll = chance.random()
    if roll < 0.04:
        method, seed = chance.choice(GAMES), chance.randrange(2**31)
        words = words_of(tiny(method, **{"--seed": str(seed)}), TINY)
        return Case("run", " ".join(words), lambda f: _in(f, run.main, words), good=True, right=_finished(seed))
    if roll < 0.35:
        setting, _ = _setting(chance)
        while _:
            setting, _ = _setting(chance)
        name = setting.partition("=")[0]
        words = [*words_of(tiny(), {k: v for k, v in TINY.items() if k != name}), f"--set={setting}"]
        return Case("run", f"--set {setting:.60}", lambda f: _in(f, run.main, words), names=(name,))
    if roll < 0.5:
        extra = chance.choice([*WORDS[:20], "--nothing", "--seed", "--set", "--resume=1", "list x", "runs"])
        words = [*words_of(tiny(), TINY), *extra.split()]
        good = None if not extra.split() else False
        return Case("run", f"… {extra!r}", lambda f: _in(f, run.main, words), good=good)
    option = chance.choice(list(RUN_RULES))
    value = chance.choice([w for w in WORDS if not RUN_RULES[option](w)])
    words = words_of(tiny(**{option: value}), TINY)
    return Case("run", f"{option}={value!r:.60}", lambda f: _in(f, run.main, words), names=(_named(option),))


def _named(option: str) -> str:
    return {"--pair": ""}.get(option, option.removeprefix("--"))


def _is_rate(word: str) -> bool:
    try:
        return 1e-8 <= float(word) < math.inf
    except ValueError:
        return False


TEACHER_RULES: dict[str, Callable[[str], bool]] = {
    "--dataset": lambda v: v == "digits",
    "--teacher": lambda v: v in ("lenet5", "lenet5_half"),
    "--epochs": lambda v: v.isdecimal() and 0 < int(v) < 2**31,
    "--lr": _is_rate,
    "--seed": lambda v: v.isdecimal() and int(v) < 2**31,
    "--device": lambda v: v in ("auto", "cpu"),
}


def teachers_command(chance: Random) -> Case:
    """`python -m dfkd_lib.teachers` with an odd option."""
    usual = {"--dataset": "digits", "--teacher": "lenet5_half", "--epochs": "1", "--device": "cpu", "--folder": "here"}
    if chance.random() < 0.1:
        words = [*words_of(usual, {}), chance.choice(("extra", "--epoch=", "--resume", "--set=batch=3", "-x"))]
        return Case("teachers", f"… {words[-1]}", lambda f: _in(f, teachers.main, words))
    option = chance.choice(list(TEACHER_RULES))
    value = chance.choice([w for w in WORDS if not TEACHER_RULES[option](w)])
    words = words_of(usual | {option: value}, {})
    return Case("teachers", f"{option}={value!r:.60}", lambda f: _in(f, teachers.main, words), names=(_named(option),))
