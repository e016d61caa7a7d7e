"""What a student's file `student.md` says of it."""

from typing import Any


def card(report: dict[str, Any]) -> str:
    """A report as a page: teacher, method, cost, agreement, warnings, how to load."""
    scores, sizes, made = report["synthetic"], report["sizes"], report["versions"]
    rows = {
        "teacher": f"{report['teacher_name']}, {sizes['teacher']:,} parameters",
        "student": f"{report['student']['name']}, {sizes['student']:,} parameters",
        "method": f"{report['method']}, {report['stages']:,} stages, "
        f"{report['samples']:,} images, seed {report['seed']}",
        "time": f"{report['seconds']:,.0f} s on {report['hardware']}",
        "agreement on fresh synthetic images": f"{scores['agreement']:.1f} %, of "
        f"{scores['effective_classes']:.1f} effective classes",
        "made with": f"dfkd_lib {made['dfkd_lib']}, torch {made['torch']}, commit "
        f"{report['commit']}",
    }
    check = (report["check"] or {}).items()
    rows |= {f"on real images: {name}": f"{value:.6g}" for name, value in check}
    if program := report["files"].get("torch.export"):
        mean, std = report["constants"]
        load = f'import torch\nnetwork = torch.export.load("{program}").module()'
    else:
        mean, std = report["weights_take"].values()
        load = "from safetensors.torch import load_file\nnetwork.load_state_dict("
        load += f'load_file("{report["files"]["weights"]}"))'
    shape = " × ".join(map(str, report["shape"]))
    table = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    warnings = "".join(f"- {line}\n" for line in report["warnings"]) or "None.\n"
    return f"""# A student, distilled without data

| | |
|---|---|
{table}
Agreement on synthetic images is no accuracy: check the student on real images, as your
application feeds them.

## Warnings

{warnings}
## Load it

```python
{load}
logits = network(images)  # n × {shape}: (pixels from 0 to 1 − mean) / std
```

mean = {tuple(mean)}, std = {tuple(std)}
"""
