"""Plots as SVG, without a library: bars, and lines over an axis that may be logarithmic."""

import html
import math

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 900, 330, 90, 30, 50
COLOURS = ("#1f5fa8", "#c8562b", "#3f8f4f", "#7d4ca0", "#8a6d1d", "#5b6770")
STYLE = ('<style>text{font:12px sans-serif;fill:#333}.axis{stroke:#999}.grid{stroke:#e3e3e3}'
         '</style><rect width="100%" height="100%" fill="#fff"/>')


def draw(kind, label, data):
    return {"bars": bars, "lines": lines}[kind](label, data)


def svg(height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">\n{STYLE}\n'
            + "\n".join(parts) + "\n</svg>\n")


def text(x, y, words, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'


def short(value):
    if value >= 10000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def bars(label, data):
    """`data`: [(name, value)]."""
    top = max(value for _, value in data)
    parts = [text(LEFT, 18, label)]
    for i, (name, value) in enumerate(data):
        y = TOP + i * 22
        colour = COLOURS[5] if name.startswith("bare") else COLOURS[1] if name.startswith("naive") \
            else COLOURS[0]
        width = (WIDTH - LEFT - RIGHT) * value / top
        parts += [text(LEFT - 8, y + 13, name, "end"),
                  f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="17" fill="{colour}"/>',
                  text(LEFT + width + 6, y + 13, short(value))]
    return svg(TOP + len(data) * 22 + 12, parts)


def scale(values, low_px, high_px, log):
    """A function from a value to its place, and the values to name on the axis."""
    least, most = min(values), max(values)
    if log:
        least, most = math.floor(math.log10(least) + 1e-9), math.ceil(math.log10(most) - 1e-9)
        most = most if most > least else least + 1
        marks = [10 ** e for e in range(least, most + 1)]
        return (lambda v: low_px + (math.log10(v) - least) / (most - least) * (high_px - low_px),
                marks)
    most = most or 1
    step = 10 ** math.floor(math.log10(most / 2))
    step = next(step * m for m in (1, 2, 5, 10) if most / (step * m) <= 5)
    marks = [step * i for i in range(int(most / step) + 2)]
    return lambda v: low_px + v / marks[-1] * (high_px - low_px), marks


def lines(label, data):
    """`data`: {"x": name, "log_x": bool, "log_y": bool, "series": {name: [(x, y)]}}."""
    left, height = 80, 420
    points = [p for series in data["series"].values() for p in series]
    x_of, x_marks = scale([p[0] for p in points], left, WIDTH - 220, data.get("log_x"))
    y_of, y_marks = scale([p[1] for p in points], height - BOTTOM, TOP, data.get("log_y"))
    parts = [text(left, 18, label), text((left + WIDTH - 220) / 2, height - 10, data["x"], "middle")]
    for mark in x_marks:
        x = x_of(mark)
        parts += [f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>',
                  text(x, height - BOTTOM + 16, short(mark), "middle")]
    for mark in y_marks:
        y = y_of(mark)
        parts += [f'<line class="grid" x1="{left}" x2="{WIDTH - 220}" y1="{y:.1f}" y2="{y:.1f}"/>',
                  text(left - 6, y + 4, short(mark), "end")]
    for i, (name, series) in enumerate(data["series"].items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in series)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="{colour}"/>'
                  for x, y in series]
        parts += [f'<rect x="{WIDTH - 205}" y="{TOP + i * 22}" width="14" height="14" fill="{colour}"/>',
                  text(WIDTH - 185, TOP + i * 22 + 12, name)]
    return svg(height, parts)
