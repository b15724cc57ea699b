#!/usr/bin/python3
"""Measures the figures and writes the table, the CSV and the plots; started by tests/bench/run."""

import argparse
import dataclasses
import os
import pathlib
import sys

import lab as labs
import report
from figures import degradation, far, growth, http, rate, throughput, wakeup, watch
from results import Results

FIGURES = (throughput, far, http, wakeup, rate, degradation, watch, growth)


@dataclasses.dataclass
class Scale:
    """How much is measured."""
    runs: int
    large_runs: int
    rows: tuple
    naive: int
    quick: bool


FULL = Scale(runs=5, large_runs=5, rows=(40_000, 1_000_000), naive=10_000, quick=False)
QUICK = Scale(runs=2, large_runs=1, rows=(20_000, 60_000), naive=4_000, quick=True)


def options():
    parser = argparse.ArgumentParser(prog="tests/bench/run")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", action="append", metavar="NAME", choices=[f.NAME for f in FIGURES])
    parser.add_argument("--out", type=pathlib.Path, default=labs.TOP / "build/bench")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--list", action="store_true")
    return parser.parse_args()


def main():
    chosen = options()
    if chosen.list:
        for figure in FIGURES:
            print(f"{figure.NAME:12} {figure.TITLE}")
        return 0
    figures = [f for f in FIGURES if chosen.only is None or f.NAME in chosen.only]
    scale = QUICK if chosen.quick else FULL
    os.umask(0o077)  # a key file that others may read is refused
    results = Results()
    with labs.work_folder() as name:
        os.chmod(name, 0o711)
        with labs.Lab(pathlib.Path(name), scale.rows[1]) as lab:
            for figure in figures:
                print(f"\n{figure.TITLE}\n", flush=True)
                figure.measure(lab, results, scale)
                print("\n".join(results.table(figure.NAME)), flush=True)
            about = report.machine(lab, scale)
    plots = {k: v for f in figures if hasattr(f, "plot") for k, v in f.plot(results).items()}
    report.write(chosen.out, results, figures, plots, about)
    if chosen.page:
        report.write_page(results, figures, plots, about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
