"""Samples, and what is written of them: a table, a CSV, and the page's figures."""

import csv
import statistics


class Results:
    """Samples by figure, case and quantity, in the order in which they came."""

    def __init__(self):
        self.samples = {}  # (figure, case, quantity) -> [value]
        self.units = {}
        self.notes = {}  # figure -> [line]

    def add(self, figure, case, quantity, unit, value):
        self.samples.setdefault((figure, case, quantity), []).append(value)
        self.units[quantity] = unit

    def add_cost(self, figure, case, count, cost):
        """Of a run that sent `count` updates."""
        self.add(figure, case, "updates/s", "1/s", count / cost["seconds"])
        self.add(figure, case, "client CPU", "us/update", cost["cpu_s"] / count * 1e6)
        self.add(figure, case, "peak memory", "MB", cost["peak_kb"] / 1024)
        if "wal_bytes" in cost:
            self.add(figure, case, "WAL", "B/update", cost["wal_bytes"] / count)
            self.add(figure, case, "database CPU", "us/update",
                     cost["database_cpu_s"] / count * 1e6)

    def note(self, figure, line):
        self.notes.setdefault(figure, []).append(line)

    def median(self, figure, case, quantity):
        values = self.samples.get((figure, case, quantity))
        return statistics.median(values) if values else None

    def figures(self):
        return list(dict.fromkeys(key[0] for key in self.samples))

    def cases(self, figure):
        return list(dict.fromkeys(key[1] for key in self.samples if key[0] == figure))

    def quantities(self, figure):
        return list(dict.fromkeys(key[2] for key in self.samples if key[0] == figure))

    def write_csv(self, path):
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["figure", "case", "quantity", "unit", "runs", "median", "least",
                             "greatest", "samples"])
            for (figure, case, quantity), values in self.samples.items():
                writer.writerow([figure, case, quantity, self.units[quantity], len(values),
                                 f"{statistics.median(values):.6g}", f"{min(values):.6g}",
                                 f"{max(values):.6g}", " ".join(f"{v:.6g}" for v in values)])

    def table(self, figure):
        """Lines of Markdown: a row a case, "median (least to greatest)" of each quantity."""
        quantities = self.quantities(figure)
        head = [f"{q} ({self.units[q]})" if self.units[q] not in ("", "1/s") else q
                for q in quantities]
        lines = ["| " + " | ".join([figure, *head]) + " |",
                 "| " + " | ".join(["---"] * (len(head) + 1)) + " |"]
        for case in self.cases(figure):
            cells = [cell(self.samples.get((figure, case, q))) for q in quantities]
            lines.append("| " + " | ".join([case, *cells]) + " |")
        return lines + [""] + [line + "\n" for line in self.notes.get(figure, [])]


def number(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def cell(values):
    if not values:
        return ""
    text = number(statistics.median(values))
    if len(values) > 1:
        text += f" ({number(min(values))} to {number(max(values))})"
    return text
