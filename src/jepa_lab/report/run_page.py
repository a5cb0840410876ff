"""report.html of one run: verdict, table, figures and how to run it again, in one file that needs nothing else."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from jepa_lab.ledger.atomic import write_atomic
from jepa_lab.report.table import COLUMNS, TableRow

FIGURES = (
    "overview",
    "early_warning",
    "loss",
    "probes",
    "ranks",
    "spectrum",
    "views",
    "examples",
    "sweep_trajectories",
    "sweep_spectra",
    "sweep_overlap",
)
GOOD, NOTE = ("healthy",), ("low_rank", "inconclusive", "stopped")


def write_run_page(
    run_dir: Path,
    *,
    title: str,
    verdict_line: str,
    table_rows: Sequence[TableRow],
    command: str,
    config_yaml: str,
    gates_line: str = "none",
) -> Path:
    """Write RUN_DIR/report.html with the PNGs found in RUN_DIR/figures and return its path.

    The first word of `verdict_line` is the status; it colours the verdict (good, a note, a failure).
    """
    run_dir = Path(run_dir)
    page = PAGE.format(
        title=escape(title),
        style=STYLE,
        tone=_tone(verdict_line),
        verdict=escape(verdict_line),
        gates=escape(gates_line),
        table=_table(table_rows),
        figures=_gallery(_ordered(run_dir / "figures")),
        command=escape(command),
        config=escape(config_yaml),
    )
    path = run_dir / "report.html"
    write_atomic(path, page)
    return path


def _gallery(paths: Sequence[Path]) -> str:
    return "\n".join(["<h2>Figures</h2>", *map(_figure, paths)]) if paths else ""


def _ordered(folder: Path) -> list[Path]:
    found = {path.stem: path for path in sorted(folder.glob("*.png"))}
    first = [name for name in FIGURES if name in found]
    return [found[name] for name in first + [name for name in found if name not in FIGURES]]


def _tone(verdict_line: str) -> str:
    status = verdict_line.split(maxsplit=1)[0].strip(":,.;").lower() if verdict_line.strip() else ""
    return "good" if status in GOOD else "note" if status in NOTE or not status else "bad"


def _table(rows: Sequence[TableRow]) -> str:
    if not rows:
        return "<p>Nothing was measured.</p>"
    columns = [column for column in COLUMNS if any(getattr(row, column) for row in rows)]
    lines = ["<tr><th></th>" + "".join(f'<th class="{column}">{column}</th>' for column in columns) + "</tr>"]
    for index, row in enumerate(rows):
        if index == 0 or row.section != rows[index - 1].section:
            lines.append(f'<tr class="section"><th colspan="{len(columns) + 1}">{escape(row.section)}</th></tr>')
        cells = "".join(f'<td class="{column}">{escape(getattr(row, column))}</td>' for column in columns)
        lines.append(f"<tr><td>{escape(row.metric)}</td>{cells}</tr>")
    return '<div class="scroll"><table>\n' + "\n".join(lines) + "\n</table></div>"


def _figure(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    name = escape(path.stem)
    image = f'<img alt="{name}" src="data:image/png;base64,{data}">'
    return f'<figure><figcaption>{name}</figcaption><div class="scroll paper">{image}</div></figure>'


STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --soft: #5c6670; --page: #fff; --card: #f4f6f8; --rule: #dde2e7;
  --good: #00704f; --note: #8a5a00; --bad: #b03a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9aa5b0; --page: #14171a; --card: #1e2328;
  --rule: #333a41; --good: #45c79b; --note: #e5b044; --bad: #ff8a5c; } }
body { margin: 0 auto; max-width: 64rem; padding: 1.25rem 1rem 4rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.verdict { border-left: .3rem solid var(--tone); background: var(--card); padding: .75rem 1rem; margin: 0;
  font-size: 1.1rem; overflow-wrap: anywhere; }
.good { --tone: var(--good); } .note { --tone: var(--note); } .bad { --tone: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem; }
td, th { padding: .22rem .9rem .22rem 0; text-align: right; white-space: nowrap; font-weight: 400; }
td:first-child, th:first-child, .reference { text-align: left; }
tr:first-child th, .reference { color: var(--soft); }
.section th { font-weight: 600; padding-top: .8rem; border-bottom: 1px solid var(--rule); }
figure { margin: 0 0 1.5rem; } figcaption { color: var(--soft); font-size: .9rem; margin-bottom: .25rem; }
.paper { background: #fff; border: 1px solid var(--rule); border-radius: .4rem; padding: .5rem; }
img { display: block; max-width: 100%; min-width: 36rem; height: auto; }
pre { background: var(--card); padding: .75rem 1rem; overflow-x: auto; border-radius: .4rem; font-size: .85rem; }
summary { cursor: pointer; }
@media (max-width: 40rem) { table { font-size: .8rem; } td, th { padding-right: .5rem; } .training { display: none; }
  td:first-child { white-space: normal; min-width: 6rem; } }
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p class="verdict {tone}">{verdict}</p>
<p>Gates: {gates}</p>
<h2>Results</h2>
{table}
{figures}
<h2>Run it again</h2>
<pre>{command}</pre>
<details><summary>Configuration</summary><pre>{config}</pre></details>
</body>
</html>
"""
