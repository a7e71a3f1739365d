"""A result as a notebook shows it: a sentence, the strip, and the figures; no script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evop_deap.base.formatting import listed, millions, number
from evop_deap.reporting.page_parts import escaped
from evop_deap.runs.storage.result import standing

if TYPE_CHECKING:
    from evop_deap.runs.storage.result import SearchResult

# A notebook's own text colour is inherited; these two show on light and on dark.
_KEPT, _DROPPED = "#6f9bd1", "#d9622b"


def result_card(result: SearchResult) -> str:
    """HTML that needs nothing around it."""
    gone = set(result.dropped)
    cells = "".join(
        f'<span title="{escaped(unit["name"])}" style="display:inline-block;width:.55em;'
        f"height:{'.35em' if unit['name'] in gone else '1.2em'};margin-right:2px;"
        f'background:{_DROPPED if unit["name"] in gone else _KEPT}"></span>'
        for unit in result.units
    )
    rule = result.heuristics[0] if result.heuristics else None
    figures = [
        (
            name,
            number(text.perplexity["dense"]),
            *([number(other.perplexity)] if other else []),
            number(text.perplexity["pruned"]),
        )
        for name, text, other in (
            ("calibration perplexity", result.calibration, rule and rule.calibration),
            ("held-out perplexity", result.heldout, rule and rule.heldout),
        )
    ]
    sizes = [millions(result.parameters[kind]) for kind in ("dense", "pruned")]
    figures.append(("parameters", sizes[0], *([""] if rule else []), sizes[1]))
    rows = "".join(
        f"<tr><th style='text-align:left'>{name}</th>"
        f"{''.join(f'<td>{value}</td>' for value in values)}</tr>"
        for name, *values in figures
    )
    heads = ["", "dense", *([escaped(rule.name)] if rule else []), "pruned"]
    standings = "".join(f"<br>{escaped(said)}" for said in standing(result))
    return (
        f"<div><p><b>{escaped(result.model)}</b> without {escaped(listed(result.dropped))}</p>"
        f'<p role="img" aria-label="{len(gone)} of {len(result.units)} dropped">{cells}</p>'
        f"<table><thead><tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead>"
        f"{rows}</table>"
        f"<p>{result.evaluations} patterns judged, cost {number(result.cost)} dense forward "
        f"passes, stopped {escaped(result.stopped)}{standings}</p></div>"
    )
