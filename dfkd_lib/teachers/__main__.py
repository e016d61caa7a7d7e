"""``python -m dfkd_lib.teachers``: train a teacher and print its record."""

import dataclasses
import json
import sys
from pathlib import Path

from ..data import check_fits, load_dataset
from ..errors import Parser, coded, one_of, real, whole
from ..files import at_home, writable_folder
from ..models import CLASSIFIERS
from . import TeacherRecipe, cache, resolve_device, teacher_recipe, train_teacher


@coded
def main(argv: list[str] | None = None) -> int:
    """Train a teacher, keep it in the cache or in --folder, and print its record.

    The same command continues a training that was stopped.
    """
    parser = Parser(prog="python -m dfkd_lib.teachers", description=main.__doc__)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--teacher", default="lenet5", help=", ".join(CLASSIFIERS))
    parser.add_argument("--epochs", type=int, help="default: by network and data set")
    parser.add_argument("--lr", type=float, help="default: by network and data set")
    parser.add_argument("--shift", type=int, help="pixels; default: by data set")
    parser.add_argument("--paper", action="store_true", help="the papers' 160 epochs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--folder", type=Path, help=f"default: {cache()}")
    args = parser.parse_args(argv)
    one_of("teacher", args.teacher, CLASSIFIERS)
    whole("seed", args.seed)
    device = resolve_device("device", args.device)
    dataset = load_dataset(args.dataset)
    check_fits(dataset, "teacher", args.teacher)
    recipe = teacher_recipe(dataset.name, args.teacher, len(dataset.y_train))
    recipe = TeacherRecipe() if args.paper else recipe
    checks = ("epochs", whole, 1), ("lr", real, 1e-8), ("shift", whole, 0)
    for name, check, low in checks:
        if (value := getattr(args, name)) is not None:
            recipe = dataclasses.replace(recipe, **{name: check(name, value, low)})
    folder = at_home("folder", args.folder) if args.folder else cache()
    folder = writable_folder("folder", folder)
    options = {"seed": args.seed, "device": device}
    record = train_teacher(dataset, args.teacher, recipe, folder, **options)
    print(json.dumps(record, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
