"""A result as a notebook shows it: a sentence, the strip, and the figures; no script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evop_deap.reporting.parts import escaped
from evop_deap.reporting.words import listed, millions, number

if TYPE_CHECKING:
    from evop_deap.run.result import SearchResult

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
    rows = "".join(
        f"<tr><th style='text-align:left'>{name}</th><td>{dense}</td><td>{pruned}</td></tr>"
        for name, dense, pruned in (
            *(
                (name, number(text.perplexity["dense"]), number(text.perplexity["pruned"]))
                for name, text in (
                    ("calibration perplexity", result.calibration),
                    ("held-out perplexity", result.heldout),
                )
            ),
            (
                "parameters",
                millions(result.parameters["dense"]),
                millions(result.parameters["pruned"]),
            ),
        )
    )
    return (
        f"<div><p><b>{escaped(result.model)}</b> without {escaped(listed(result.dropped))}</p>"
        f'<p role="img" aria-label="{len(gone)} of {len(result.units)} dropped">{cells}</p>'
        f"<table><thead><tr><th></th><th>dense</th><th>pruned</th></tr></thead>{rows}</table>"
        f"<p>{result.evaluations} patterns judged, cost {number(result.cost)} dense forward "
        f"passes, stopped {escaped(result.stopped)}</p></div>"
    )
