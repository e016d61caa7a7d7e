"""Choose the students to download: of each rung of the ladder each method's best seed.

``python workflow/students.py`` reads the weights that `make nightly` left in WORK and
writes results/students/: weights in float16, the run's record, and a model card.
"""

import json
import sys
from pathlib import Path

import yaml
from safetensors.torch import load_file, save

from dfkd_lib import records
from dfkd_lib.files import write_atomically
from dfkd_lib.methods import METHODS

LICENCE = "CIFAR's images may be used for research, with a citation (Krizhevsky 2009)"


def chosen(config: dict) -> dict[str, tuple[dict, Path]]:
    """Names, such as mad-cifar10-0.2PF, with record and weights of the best seed."""
    best: dict[str, tuple[dict, Path]] = {}
    for experiment in config["students"]:
        if not Path(config["folder"], f"{experiment}.jsonl").exists():
            continue
        for made in records.load_records(experiment, Path(config["folder"])):
            weights = Path(config["work"], experiment, f"{made['key']}.safetensors")
            name = f"{made['method']}-{made['dataset']}-{made['flop'] / 1e15:.1g}PF"
            if METHODS[made["method"]].data or made["method"] == "random":
                continue  # a baseline
            old = best.get(name, ({"accuracy_last": -1}, None))[0]
            if weights.exists() and made["accuracy_last"] > old["accuracy_last"]:
                best[name] = made, weights
    return best


def card(name: str, made: dict) -> str:
    """What one has to know before one uses it, in Markdown."""
    return f"""# {name}

A {made["student"]} for {made["dataset"]}, distilled by {made["method"]} from a
{made["teacher"]} without one of its images.

| | |
|---|---|
| accuracy on the test images | {made["accuracy_last"]:.2f} % |
| teacher's accuracy | {made["teacher_accuracy"]:.2f} % |
| agreement with the teacher | {made["agreement_last"]:.2f} % |
| teacher's weights | sha256 {made["teacher_hash"][:16]}… |
| cost | {made["flop"] / 1e15:.2g} PFLOP |
| time | {made["seconds"] / 60:.0f} minutes of {made["hardware"]} |
| images the student saw | {made["samples"]:,}, all synthetic |
| seed | {made["seed"]}, the best of those that were run |
| command | `{made["command"]}` |
| data | {LICENCE} |

Images are normalised by the data set's mean and standard deviation, as by
`load_dataset("{made["dataset"]}").normalise`.

```python
from dfkd_lib import load_student

student = load_student("{name}")
```
"""


def main() -> int:
    """Write the files of every student chosen."""
    config = yaml.safe_load(Path("workflow/experiments.yml").read_text())
    folder = Path(config["folder"], "students")
    folder.mkdir(exist_ok=True)
    for name, (made, weights) in chosen(config).items():
        state = {
            n: t.half() if t.is_floating_point() else t
            for n, t in load_file(weights).items()
        }
        write_atomically(folder / f"{name}.safetensors", save(state))
        write_atomically(folder / f"{name}.json", json.dumps(made, indent=1) + "\n")
        write_atomically(folder / f"{name}.md", card(name, made))
        print(f"{name}: {made['accuracy_last']:.2f} %, seed {made['seed']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
