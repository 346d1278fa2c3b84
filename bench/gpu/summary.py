"""The table and the picture of what compare.py wrote. By itself: summary.py RESULTS.jsonl."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))

import report  # noqa: E402

# How much larger than a peer's an error may be, beside what one rounding makes.
WORSE, ROUNDING = 2.0, 6e-8


def records(path: Path) -> list[dict]:
    """The last of each case, of the lines that are whole: a run may have been cut in one."""
    found = []
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            print(f"summary: a line is no record: {line[:80]!r}", file=sys.stderr)
    return list({record["case"]: record for record in found}.values())


def row_of(record: dict) -> dict:
    """As report.py takes it, in milliseconds; the peer's ratio is that of rounds."""
    ours = record["seconds"]["gradus"]
    results = {who: {"state": "quiet",
                     "median_ms": 1e3 * ours * record["ratio"].get(who, 1.0)}
               for who in record["seconds"]}
    return {"name": record["case"], "limit_ms": 1e3 * record["limit"], "results": results}


def less_exact(record: dict) -> list[str]:
    """The peers than which ours is less exact."""
    ours = record["error"]["gradus"]
    return [who for who, theirs in record["error"].items()
            if who != "gradus" and not ours <= WORSE * theirs + ROUNDING]


def cell(record: dict, who: str) -> str:
    if who in record["failures"]:
        return "failed"
    if who not in record["seconds"]:
        return ""
    time, ratio = report.number(1e6 * record["seconds"][who]), report.number(record["ratio"][who])
    return f"{time} ({ratio}x) {record['error'][who]:.0e}"


def rate(record: dict) -> str:
    if record["flops"]:
        return f"{record['flops'] / record['seconds']['gradus'] / 1e12:.3g} TFLOP/s"
    return f"{record['moved'] / record['seconds']['gradus'] / 1e12:.3g} TB/s"


def line_of(record: dict, columns: list[str]) -> list[str]:
    ours = record["seconds"]["gradus"]
    share = "" if record["case"].startswith("train/") else f"{record['limit'] / ours:.0%}"
    worse = " !" if less_exact(record) else ""
    machine = f"{record['mhz']:.0f}, {record['watts']:.0f}" if "mhz" in record else ""
    return [f"`{record['case']}`", report.number(1e6 * ours), f"{record['noise']:.1%}",
            rate(record), share, f"{record['error']['gradus']:.0e}{worse}",
            *(cell(record, who) for who in columns), machine]


def markdown(all_records: list[dict]) -> str:
    of = lambda case: next((r for r in all_records if r["case"] == case), {})
    machine, ceilings = of("machine"), of("ceilings")
    measured = [r for r in all_records if "seconds" in r]
    text = [f"# Gradus beside PyTorch on a GPU, {machine.get('date', '')}", "",
            f"{machine.get('name', 'a device')}, torch {machine.get('torch', '')}, commit "
            f"{machine.get('commit', '')[:12]}.",
            "Microseconds of a call, medians; of a peer, in brackets how many times ours, the "
            "median over rounds in which all took turns,",
            "then its error. Errors are relative to double, by the Euclidean norm; `!`: ours is "
            "above twice a peer's.",
            "`noise`: between two samples of ours in one round; a difference below it is none. "
            "`limit`: the share of the measured ceiling.",
            "`/graph`: the calls as one graph, of the peer captured by hand; torch-compile "
            "there is its mode reduce-overhead.", ""]
    if ceilings:
        text += [f"Ceilings, measured through PyTorch: copy {ceilings['copy'] / 1e12:.2f} TB/s, "
                 f"read {ceilings['read'] / 1e12:.2f} TB/s, bf16 {ceilings['bf16'] / 1e12:.0f} "
                 f"TFLOP/s, f32 {ceilings['f32'] / 1e12:.1f} TFLOP/s.", ""]
    named = [{"name": r["case"], "results": r["seconds"], "record": r} for r in measured]
    for family, members in report.families(named).items():
        columns = report.impls(members)
        text += report.table([family, "gradus", "noise", "rate", "limit", "error", *columns,
                              "MHz, W"], [line_of(m["record"], columns) for m in members])
    failures = [f"- `{r['case']}`, {who}: {what.splitlines()[0]}" for r in all_records
                for who, what in r.get("failures", {}).items()]
    skipped = [f"`{r['case']}`" for r in all_records if "skipped" in r]
    if failures:
        text += ["## Failures", "", *failures, ""]
    if skipped:
        text += [f"Not measured, for time: {', '.join(skipped)}.", ""]
    return "\n".join(text)


def main() -> int:
    path = Path(sys.argv[1])
    found = records(path)
    text = markdown(found)
    path.with_suffix(".md").write_text(text)
    rows = [row_of(r) for r in found if "seconds" in r]
    if rows:
        machine = next((r for r in found if r["case"] == "machine"), {})
        where = f"{machine.get('name', 'a device')}, {machine.get('date', '')}"
        path.with_suffix(".svg").write_text(report.bars(rows, where))
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
