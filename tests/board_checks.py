"""What the scoreboard prints, computed again from the files by other means: plain JSON and numpy."""

import json
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
from chapters import ROOT
from nbformat import NotebookNode
from scipy.stats import t as student_t

from dfkd_lib import papers, scoreboard

Rows = list[list[str]]
PAPER, OURS = "paper: teacher → student (%)", "ours: teacher → last (%)"


def plain(cell: str) -> str:
    return cell.replace("\N{NO-BREAK SPACE}", " ").strip()


def tables(notebook: NotebookNode) -> list[tuple[int, int, list[str], Rows]]:
    """The tables in the outputs: cell, first line, head and rows."""
    found = []
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            lines = output.get("data", {}).get("text/markdown", "").splitlines()
            cells = [[plain(part) for part in line.strip("| ").split(" | ")] for line in lines]
            for start, line in enumerate(lines):
                if line.startswith("|") and (start == 0 or not lines[start - 1].startswith("|")):
                    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
                    found.append((index, start, cells[start], cells[start + 2 : end]))
    return found


def raw(folder: Path) -> dict[str, dict]:
    """All records below results/, by their path from the root of the checkout."""
    return {f"results/{path.relative_to(folder)}": json.loads(path.read_text()) for path in folder.glob("**/*.json")}


def mean(records: list[dict], key: str) -> str:
    return f"{np.mean([r[key] for r in records]):.2f}"


def with_interval(records: list[dict], key: str) -> str:
    values = np.array([r[key] for r in records])
    if len(values) == 1:
        return f"{values[0]:.2f}"
    half = student_t.ppf(0.975, len(values) - 1) * np.sqrt(values.var(ddof=1) / len(values))
    return f"{values.mean():.2f} ± {half:.2f}"


def lost(records: list[dict]) -> str:
    return f"{np.mean([r['teacher_accuracy'] for r in records]) - np.mean([r['accuracy_last'] for r in records]):.2f}"


def arm(records: dict[str, dict], row: list[str], head: list[str]) -> tuple[list[dict], list[str]]:
    """The records that a row of provenance names, and complaints on what else it says."""
    label, seeds, hardware, threads, precision, commit, path, command = row
    path, command = path.strip("`"), command.strip("`")
    files = [re.sub(r"-s\d+\.json$", f"-s{seed}.json", path) for seed in seeds.split(", ")]
    missing = [file for file in files if file not in records]
    if missing or path != files[0]:
        return [], [f"{label}: no record {missing or path}"]
    here = [records[file] for file in files]
    wrong = [] if here[0]["command"] == command else [f"{label}: the command of {path} is another"]
    wrong += [] if plain(head[0]) == f"method, on {here[0]['dataset']}" else [f"{label}: {path} is of another data set"]
    wrong += [] if label.startswith(scoreboard.NAMES[here[0]["method"]]) else [f"{label}: {path} is of another method"]
    wrong += [] if [str(r["seed"]) for r in here] == seeds.split(", ") else [f"{label}: seeds"]
    for key, cell in (("hardware", hardware), ("threads", threads), ("precision", precision)):
        wrong += [] if cell == ", ".join(sorted({str(r[key]) for r in here})) else [f"{label}: {key} {cell}"]
    commits = ", ".join(sorted({r["commit"][:7] for r in here}))
    return here, wrong if commit == commits else [*wrong, f"{label}: commit {commit}"]


def own_rows(dataset: str, rows: Rows, known: dict[tuple[str, str], list[dict]]) -> list[str]:
    wrong = []
    for label, *cells in rows:
        r = known.pop((dataset, label), None)
        if r is None:
            wrong.append(f"{dataset}, {label}: no provenance")
            continue
        hours = np.mean([made["seconds"] for made in r]) / 3600
        expected = [lost(r), with_interval(r, "accuracy_last"), mean(r, "accuracy_best"), mean(r, "teacher_accuracy")]
        expected += [str(len(r)), f"{np.mean([made['samples'] for made in r]):,.0f}", f"{hours:.2g}"]
        wrong += [] if cells == expected else [f"{dataset}, {label}: {cells}, and the records say {expected}"]
    return wrong


def system_rows(head: list[str], rows: Rows, known: dict, seen: set[papers.System]) -> list[str]:
    """Rows beside a paper's: its figures are those of `papers`, ours those of the records."""
    wrong = []
    for row in rows:
        at = head.index(PAPER)
        dataset = row[head.index("data set")] if "data set" in head else head[0].removeprefix("method, on ")
        networks = row[head.index("networks")] if "networks" in head else None
        figures = [Decimal(part) for part in re.findall(r"\d+\.\d+", row[at])]
        fitting = [
            s for s in papers.SYSTEMS
            if (s.dataset, scoreboard.shown(s)) == (dataset, row[0])
            and networks in (None, f"{s.teacher} → {s.student}")
            and figures == [v for v in (s.teacher_figure, s.figure, s.spread) if v is not None]
            and row[at + 1] == ("–" if s.lost is None else str(s.teacher_figure - s.figure))
        ]  # fmt: skip
        seen.update(fitting)
        if not fitting:
            wrong.append(f"no paper has {row}")
        elif row[at + 2] != "not run":
            wrong += _ours(row[at + 2 :], fitting[0], known)
        elif set(row[at + 3 : -1]) - {"–"}:
            wrong.append(f"not run, and yet there are figures: {row}")
    return wrong


def _ours(cells: list[str], system: papers.System, known: dict) -> list[str]:
    schedule = "" if cells[-1] == "short" else f", {cells[-1]} schedule"
    r = known.get((system.dataset, scoreboard.NAMES[system.method] + schedule))
    if r is None:
        return [f"{system.name} on {system.dataset}: no provenance"]
    top = f"{mean(r, 'teacher_accuracy')} → {with_interval(r, 'accuracy_last')}"
    expected = [top, mean(r, "accuracy_best"), lost(r), str(len(r))]
    return [] if cells[:-1] == expected else [f"{system.name} on {system.dataset}: {cells}, not {expected}"]


def arvi_rows(rows: Rows, records: dict[str, dict]) -> list[str]:
    made = [r for path, r in sorted(records.items()) if path.startswith("results/arvi/") and r["method"] == "arvi"]
    wrong, counted = [], 0
    for row in rows:
        weights = dict(zip(("lambda_l", "lambda_m", "lambda_vi"), map(float, row[:3]), strict=True))
        here = [r for r in made if weights == {name: r["parameters"][name] for name in weights}]
        if weights["lambda_vi"]:
            here = [r for r in here if [r["parameters"][name] for name in ("mixup", "mixup_labels")] == row[3:5]]
        counted += len(here)
        expected = [", ".join(f"{r['accuracy_last']:.2f}" for r in here), mean(here, "accuracy_last") if here else ""]
        wrong += [] if row[5:] == expected else [f"AR+VI's weights: {row}, not {expected}"]
    return wrong if counted == len(made) else [*wrong, f"AR+VI's weights: {counted} of {len(made)} records are shown"]


def complaints(notebook: NotebookNode, records: dict[str, dict] | None = None) -> list[str]:
    """What in the tables of the executed scoreboard is not what the records and the papers say."""
    records = raw(ROOT / "results") if records is None else records
    found, wrong, seen = tables(notebook), [], set()
    known: dict[tuple[str, str], list[dict]] = {}
    for _, _, head, rows in found:
        if head[-1] == "its command":
            for row in rows:
                here, complaints_of = arm(records, row, head)
                wrong += complaints_of
                known[head[0].removeprefix("method, on "), row[0]] = here
    if not all(known.values()):
        return wrong
    unused = dict(known)
    for _, _, head, rows in found:
        if "images" in head:
            wrong += own_rows(head[0].removeprefix("method, on "), rows, unused)
        elif PAPER in head:
            wrong += system_rows(head, rows, known, seen)
        elif head[0] == "weight of R_l":
            wrong += arvi_rows(rows, records)
        elif head[-1] not in ("its command", "command", "source"):
            wrong.append(f"nobody checks the table with {head}")
    wrong += [f"{key} has provenance and no row" for key in unused]
    return wrong + [f"{s.paper} Table {s.table}, {s.name}: no row" for s in papers.SYSTEMS if s not in seen]
