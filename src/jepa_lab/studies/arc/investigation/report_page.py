"""investigation.html: the same report as one file that needs nothing else, light or dark, on a desk or a phone."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from jepa_lab.diagnosis.finding import History
from jepa_lab.report.run_page import STYLE
from jepa_lab.studies.arc.investigation.charts import charts_of, shared_scales
from jepa_lab.studies.arc.investigation.overrides import brief
from jepa_lab.studies.arc.investigation.report_data import COLUMNS, order_of, shown
from jepa_lab.studies.arc.investigation.report_text import not_reached, recommendation, seeds, trail


def page(content: Mapping[str, Any], histories: Mapping[Path, History]) -> str:
    """The report of an investigation's content, as `content_of` gives it, with curves from the runs' histories."""
    advice = content["recommended"]
    parts = [
        f"<h1>Investigation of {escape(content['experiment'])}</h1>",
        f'<p class="verdict {_tone(content)}">{escape(content["answer"])}</p>',
        f"<p>{escape(seeds(content))} Failing run: <code>{escape(content['run_dir'])}</code></p>",
        "<h2>The four questions</h2>",
        "".join(map(_question, content["questions"])),
    ]
    if advice:
        parts += ["<h2>Recommended</h2>", f"<p>{escape(recommendation(content))}</p>"]
        parts.append(f"<pre>{escape(advice['command'])}</pre>")
    parts += ["<h2>Steps</h2>", _table(content["steps"])]
    parts += ["<h2>Codebook and rank, step by step</h2>", _cards(content["steps"], histories)]
    lines = "".join(f"<li><b>{escape(c)}</b> {escape(q)} {escape(a)}</li>" for c, q, a in trail(content))
    parts += ["<h2>How it went</h2>", f"<ul>{lines}</ul>"]
    if content["notes"]:
        parts += ["<h2>Notes</h2>", f"<ul>{''.join(f'<li>{escape(n)}</li>' for n in content['notes'])}</ul>"]
    if content["not_reached"]:
        parts += ["<h2>Not reached</h2>", f"<p>{escape(not_reached(content))}</p>"]
    title = f"Investigation of {escape(content['experiment'])}"
    return PAGE.format(title=title, style=STYLE + OWN_STYLE, body="\n".join(parts))


def _tone(content: Mapping[str, Any]) -> str:
    if content["scenario"] == "data":
        return "note"
    return "good" if content["found"] else "note" if content["stopped"] or content["recommended"] else "bad"


def _question(q: Mapping[str, Any]) -> str:
    runs = "".join(f"<li><code>{escape(run)}</code></li>" for run in q["runs"])
    evidence = f"<details><summary>evidence</summary><ul>{runs}</ul></details>" if runs else ""
    return (f'<div class="question"><p class="asked">{escape(q["question"])}</p><p><b>{escape(q["answer"])}</b>: '
            f"{escape(q['why'])}.</p>{evidence}</div>")  # fmt: skip


def _table(steps: list[dict[str, Any]]) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name, _, _ in COLUMNS)
    lines = [f'<tr><th>step</th><th class="text">verdict</th>{heads}<th class="text">fired first</th></tr>']
    for step in steps:
        change = brief(step["overrides"]) or "the failing run"
        cells = "".join(f"<td>{escape(shown(step['figures'].get(key), pc))}</td>" for _, key, pc in COLUMNS)
        fired = f"{step['first']['flag']} at {step['first']['step']}" if step["first"] else ""
        tone = "good" if step["good"] else "bad"
        name = f"{escape(step['code'])} {escape(step['name'])}<br><small>{escape(change)}</small>"
        verdict = f'<td class="text {tone} toned">{escape(step["verdict"])}</td>'
        lines.append(f'<tr><td class="text">{name}</td>{verdict}{cells}<td class="text">{escape(fired)}</td></tr>')
    return '<div class="scroll"><table class="steps">\n' + "\n".join(lines) + "\n</table></div>"


def _cards(steps: list[dict[str, Any]], histories: Mapping[Path, History]) -> str:
    top, last = shared_scales(histories)
    cards = []
    for step in steps:
        runs = "".join(f"<li><code>{escape(run['path'])}</code> ({escape(run['state'])})</li>" for run in step["runs"])
        order = f"<p><small>in order: {escape(order_of(step))}</small></p>" if order_of(step) else ""
        cards.append(
            f'<figure class="card"><figcaption>{escape(step["code"])} {escape(step["name"])}: '
            f"{escape(step['verdict'])}</figcaption>{charts_of(step, histories, top, last)}{order}"
            f"<details><summary>runs</summary><ul>{runs}</ul></details></figure>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


OWN_STYLE = """
:root { --usage: #0b62a4; --rank: #8a3ffc; }
@media (prefers-color-scheme: dark) { :root { --usage: #62b0f0; --rank: #be95ff; } }
.question { border-top: 1px solid var(--rule); padding: .5rem 0; } .question p { margin: .15rem 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.asked { color: var(--soft); }
code { font-size: .85em; overflow-wrap: anywhere; }
details ul { margin: .25rem 0; padding-left: 1.2rem; } summary { color: var(--soft); font-size: .9rem; }
li { margin: .2rem 0; overflow-wrap: anywhere; }
.steps td.text, .steps th.text { text-align: left; white-space: normal; min-width: 9rem; }
.steps td { vertical-align: top; border-top: 1px solid var(--rule); } small { color: var(--soft); }
.steps small { overflow-wrap: anywhere; }
.toned { color: var(--tone); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: 1rem; }
.card { background: var(--card); border-radius: .4rem; padding: .75rem; margin: 0; min-width: 0; }
.card figcaption { color: var(--ink); font-weight: 600; overflow-wrap: anywhere; } .card p { margin: .25rem 0; }
svg { display: block; width: 100%; height: auto; margin-top: .4rem; overflow: visible; }
svg text { fill: var(--soft); font: 10px system-ui, sans-serif; } svg .name { fill: var(--ink); font-size: 11px; }
svg polyline { fill: none; stroke-width: 2; stroke-linejoin: round; } svg .usage { stroke: var(--usage); }
svg .rank { stroke: var(--rank); } svg .grid { stroke: var(--rule); }
svg line.event { stroke: var(--bad); stroke-dasharray: 3 3; } svg text.event { fill: var(--bad); }
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
