"""The frame of a self-contained page: head, styles and scripts."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from evop_deap.reporting.page_parts import escaped
from evop_deap.reporting.theme import stylesheet

_TOP = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
script-src 'unsafe-inline'; img-src data: blob:; connect-src {connect}">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{style}
</style>
</head>
<body{live}>
<a class="skip" href="#content">To the content</a>
<header><span class="brand">evop_deap</span><span id="status" role="status">{status}</span>
<button type="button" id="theme" aria-pressed="false">Dark</button></header>
<main id="content" tabindex="-1">
"""
_END = """
</main>
<noscript><p>Without its script this page has tables instead of figures.</p></noscript>
<script>
{plotly}
</script>
<script>
{script}
</script>
</body>
</html>
"""


def framed(title: str, content: str, *, live: str | None = None, status: str = "") -> str:
    """Return a page with styles and scripts embedded.

    Args:
        title: plain text.
        content: HTML of the page's main part.
        live: version of the content, if the page is served during a run; else None.
        status: status line.
    """
    top = _TOP.format(
        title=escaped(title),
        style=f"{stylesheet()}\n{_asset('page.css')}",
        connect="'none'" if live is None else "'self'",
        live="" if live is None else f' data-version="{escaped(live)}"',
        status=escaped(status),
    )
    end = _END.format(plotly=_asset("plotly-cartesian.min.js"), script=_asset("page.js"))
    return f"{top}{content}{end}"


@cache
def _asset(name: str) -> str:
    return (files("evop_deap.reporting") / "assets" / name).read_text(encoding="utf-8")
