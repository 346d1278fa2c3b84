"""The table and the picture of a result of compare.py. By itself: report.py RESULT.json."""

import json
import math
import sys
from html import escape
from pathlib import Path

ORDER = ("torch", "torch-fused", "torch-tuned", "torch-compile", "jax", "openblas", "libtorch")
COLOURS = {"torch": "#d1495b", "torch-fused": "#8d3b72", "torch-tuned": "#edae49",
           "torch-compile": "#30638e", "jax": "#00798c", "openblas": "#66a182",
           "libtorch": "#5c4d7d"}


def number(x: float) -> str:
    return f"{x:.3g}" if x < 1000 else f"{x:.0f}"


def counts(result: dict | None) -> bool:
    return result is not None and result["state"] == "quiet"


def ratio(row: dict, impl: str) -> float | None:
    """How many times as long as ours the peer takes."""
    ours, theirs = row["results"].get("gradus"), row["results"].get(impl)
    if not counts(ours) or not counts(theirs):
        return None
    return theirs["median_ms"] / ours["median_ms"]


OPERATIONS = ("map", "rows", "reduce", "move", "random", "optim")


def means(rows: list[dict]) -> str:
    """The geometric mean of a peer's ratios over the rows of operations; empty without any."""
    rows = [row for row in rows if row["name"].split("/")[0] in OPERATIONS]
    found = []
    for impl in ("torch", "torch-tuned", "jax"):
        logs = [math.log(r) for row in rows if (r := ratio(row, impl))]
        if logs:
            found.append(f"{impl} {math.exp(sum(logs) / len(logs)):.2f}x ({len(logs)} rows)")
    return f"Geometric mean over {', '.join(OPERATIONS)}: {', '.join(found)}." if found else ""


def of_limit(row: dict) -> float | None:
    ours = row["results"].get("gradus")
    return row["limit_ms"] / ours["median_ms"] if counts(ours) and "limit_ms" in row else None


def cell(row: dict, impl: str) -> str:
    result = row["results"].get(impl)
    if result is None:
        return ""
    if result["state"] != "quiet":
        return result["state"]
    r = ratio(row, impl)
    beside = f" ({number(r)}x)" if r and impl != "gradus" else ""
    return number(result["median_ms"]) + beside


def megabytes(row: dict, impl: str) -> str:
    """Other processes do not change it, so it counts beside them too."""
    result = row["results"].get(impl)
    return number(result["peak_mb"]) if result and "peak_mb" in result else ""


def families(rows: list[dict]) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for row in rows:
        found.setdefault(row["name"].split("/")[0], []).append(row)
    return found


def impls(rows: list[dict]) -> list[str]:
    return [impl for impl in ORDER if any(impl in row["results"] for row in rows)]


def table(head: list[str], body: list[list[str]]) -> list[str]:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def voids(result: dict) -> str:
    text = f"others used more than {result['max_load']} processors"
    if "max_pace" in result:  # not measured before 2026-11-22
        text += (f", or a neighbour outside of the machine made fixed arithmetic take more than "
                 f"{result['max_pace']} times its least,")
    return text


def markdown(result: dict) -> str:
    m = result["machine"]
    text = [f"# Gradus beside its peers, {result['date']}", "",
            f"{m['processor']}, {m['processors']} processors, {m['memory_gb']} GB, {m['system']}"
            f"{''.join(', ' + version for version in result['versions'])}.",
            f"Milliseconds of a call, the best median of {result['rounds']} processes taken in "
            "turn; in brackets how many times ours.",
            f"Samples beside which {voids(result)} are void and repeated (`busy`: there was no "
            "other).",
            "`spread`: between our processes, the worst median over the best. `limit`: the share "
            "of the machine's limit that ours reaches,",
            "a copy of the same size or the peak of multiply-adds, measured in the same processes; "
            "work in place may cost less than a copy.",
            "Rows with results that are not ours are `refused`. torch-tuned is torch with a malloc "
            "that keeps large blocks.", ""]
    for threads in sorted({row["threads"] for row in result["rows"]}):
        rows = [row for row in result["rows"] if row["threads"] == threads]
        text += [f"## {threads} thread{'s' if threads > 1 else ''}", ""]
        for family, members in families(rows).items():
            columns = impls(members)
            body = []
            for row in members:
                share, ours = of_limit(row), row["results"].get("gradus", {})
                spread = ours.get("worst_of_best")
                body.append([f"`{row['name']}`", cell(row, "gradus"),
                             f"{spread:.2f}" if spread else "",
                             f"{share:.0%}" if share else "", *(cell(row, i) for i in columns)])
            text += table([family, "gradus", "spread", "limit", *columns], body)
        if mean := means(rows):
            text += [mean, ""]
        memory = [row for row in rows if row["name"].startswith(("train/", "start"))]
        if memory:
            columns = ["gradus", *impls(memory)]
            text += table(["peak memory, MB", *columns],
                          [[f"`{row['name']}`"]
                           + [megabytes(row, impl) for impl in columns] for row in memory])
    if result["failures"]:
        text += ["## Failures", "", *(f"- {failure}" for failure in result["failures"]), ""]
    return "\n".join(text)


def svg(result: dict) -> str:
    threads = max(row["threads"] for row in result["rows"])
    where = f'{threads} thread{"s" if threads > 1 else ""}, {result["machine"]["processor"]}'
    return bars([row for row in result["rows"] if row["threads"] == threads],
                f'{where}, {result["date"]}')


def bars(rows: list[dict], where: str) -> str:
    """Bars to the right: the peer takes longer. On a logarithmic axis, cut at 1/8 and 64."""
    columns = impls(rows)
    left, width, bar, share_left, share_width = 250, 520, 8, 830, 120
    low, high = math.log2(1 / 8), math.log2(64)
    x = lambda r: left + width * (min(max(math.log2(r), low), high) - low) / (high - low)
    parts, y = [], 60
    text = lambda x, y, s, extra="": parts.append(
        f'<text x="{x:.1f}" y="{y:.1f}" {extra}>{escape(s)}</text>')
    rectangle = lambda x, y, w, h, fill: parts.append(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0.5):.1f}" height="{h}" fill="{fill}"/>')
    for row in rows:
        ratios = [(impl, r) for impl in columns if (r := ratio(row, impl)) is not None]
        height = bar * max(len(ratios), 2) + 6
        text(left - 10, y + height / 2 + 1, row["name"], 'text-anchor="end"')
        for i, (impl, r) in enumerate(ratios):
            begin, end = sorted((x(1), x(r)))
            rectangle(begin, y + bar * i, end - begin, bar - 1, COLOURS[impl])
            text(x(r) + 4 if r >= 1 else x(1) + 4, y + bar * i + bar - 1.5, f"{number(r)}x",
                 'font-size="8"')
        share = of_limit(row)
        if share:
            rectangle(share_left, y, share_width * min(share, 1.2), bar * 2 - 2, "#8b95a1")
            text(share_left + share_width * min(share, 1.2) + 4, y + bar * 2 - 5, f"{share:.0%}",
                 'font-size="9"')
        y += height
    axis = []
    for power in range(int(low), int(high) + 1):
        r = 2.0**power
        stroke = "#222" if power == 0 else "#ddd"
        axis.append(f'<path d="M{x(r):.1f} 50V{y}" stroke="{stroke}" fill="none"/>')
        axis.append(f'<text x="{x(r):.1f}" y="46" text-anchor="middle">'
                    f'{f"{r:g}x" if power >= 0 else f"1/{2 ** -power}x"}</text>')
    axis.append(f'<path d="M{share_left + share_width} 50V{y}" stroke="#ddd" fill="none"/>')
    axis.append(f'<text x="{share_left}" y="46">share of the limit (line: all)</text>')
    legend = [f'<text x="10" y="18" font-size="13">Time of the peer over ours, {escape(where)}'
              '</text>']
    for i, impl in enumerate(columns):
        legend.append(f'<rect x="{250 + 110 * i}" y="24" width="9" height="9" '
                      f'fill="{COLOURS[impl]}"/><text x="{263 + 110 * i}" y="32">{impl}</text>')
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="1020" height="{y + 10}" '
        'font-family="sans-serif" font-size="10">',
        f'<rect width="1020" height="{y + 10}" fill="white"/>',
        *legend, *axis, *parts, "</svg>", ""])


def write(result: dict, base: Path) -> None:
    base.with_suffix(".md").write_text(markdown(result))
    if result["rows"]:
        base.with_suffix(".svg").write_text(svg(result))


if __name__ == "__main__":
    path = Path(sys.argv[1])
    write(json.loads(path.read_text()), path.with_suffix(""))
