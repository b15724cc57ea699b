"""Writes what was measured: into a folder, and between the markers of docs/PERFORMANCE.md."""

import pathlib
import re
import subprocess

import lab as labs
import plot

PAGE = labs.TOP / "docs/PERFORMANCE.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def machine(lab, scale):
    """Lines that say where and how the figures came to be."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    processors = len(re.findall(r"^processor", pathlib.Path("/proc/cpuinfo").read_text(), re.M))
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    version = lab.db.value("SHOW server_version")
    curl = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=False).stdout
    libcurl = re.search(r"libcurl/\S+", curl)
    return [
        f"{processors} x {cpu[1] if cpu else 'processor'}, {int(memory[1]) // 1048576} GB;"
        f" PostgreSQL {version} with durable settings, nginx"
        f"{', ' + libcurl[0] if libcurl else ''}; all on this machine.",
        f"{labs.IN_FLIGHT} in flight unless it says otherwise; bodies of"
        f" {lab.body_bytes:.0f} bytes; median (least to greatest) of {scale.runs} runs."
        + (" A quick run: not for quoting." if scale.quick else "")]


def text(results, figures, plots, about, plot_folder):
    lines = [*about, ""]
    for figure in figures:
        lines += [f"### {figure.TITLE}", "", *results.table(figure.NAME)]
        for name in (figure.plot(results) if hasattr(figure, "plot") else {}):
            lines += [f"![{figure.TITLE}]({plot_folder}{name}.svg)", ""]
    return "\n".join(lines)


def write_plots(folder, plots):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (kind, label, data) in plots.items():
        (folder / f"{name}.svg").write_text(plot.draw(kind, label, data))


def write(folder, results, figures, plots, about):
    write_plots(folder, plots)
    results.write_csv(folder / "results.csv")
    (folder / "results.md").write_text(text(results, figures, plots, about, ""))
    print(f"written: {folder}/results.md, results.csv and {len(plots)} plots")


def write_page(results, figures, plots, about):
    """Puts the figures between the markers; the rest of the page is a person's."""
    write_plots(PAGE.parent / "performance", plots)
    results.write_csv(PAGE.parent / "performance/results.csv")
    head, rest = PAGE.read_text().split(BEGIN)
    tail = rest.split(END)[1]
    measured = text(results, figures, plots, about, "performance/")
    PAGE.write_text(f"{head}{BEGIN}\n\n{measured}\n{END}{tail}")
