"""The colours of a report, light and dark, for the page and its figures.

Figures name a colour by its CSS variable, such as "--run-0", or "--run-0/.2" for an opacity of
0.2. The page's script inserts the colour of the current theme.
"""

from __future__ import annotations

# Blue and orange can be distinguished with every kind of colour vision.
LIGHT = {
    "page": "#f6f7f9",
    "surface": "#ffffff",
    "text": "#1b1f24",
    "muted": "#5c6670",
    "line": "#dde1e6",
    "kept": "#b9cbe4",
    "on-kept": "#1b2f4d",
    "dropped": "#c2410c",
    "on-dropped": "#ffffff",
    "accent": "#1d5fbf",
    "heat-0": "#f0f2f5",
    "heat-1": "#f6c9a5",
    "heat-2": "#e58546",
    "heat-3": "#a6360a",
}
DARK = {
    "page": "#12151a",
    "surface": "#1a1f26",
    "text": "#e7eaee",
    "muted": "#a0aab5",
    "line": "#323a44",
    "kept": "#33506f",
    "on-kept": "#d7e5f7",
    "dropped": "#f08a4b",
    "on-dropped": "#1f1108",
    "accent": "#7fb2f5",
    "heat-0": "#222831",
    "heat-1": "#6a3a1e",
    "heat-2": "#c2622a",
    "heat-3": "#ffb37d",
}
_RUNS_LIGHT = ("#1d5fbf", "#c2410c", "#0f766e", "#7c3aed", "#a16207", "#be185d", "#4d7c0f")
_RUNS_DARK = ("#7fb2f5", "#f08a4b", "#4fd1c0", "#b79cf7", "#e0b84a", "#f28bb8", "#a8d16a")
N_RUN_COLOURS = len(_RUNS_LIGHT)


def run_colour(place: int) -> str:
    """Return the CSS variable with the colour of the run at this place."""
    return f"--run-{place % N_RUN_COLOURS}"


def stylesheet() -> str:
    """Return the colours as CSS, for the system's preference and for the page's switch."""
    light, dark = _declared(LIGHT, _RUNS_LIGHT), _declared(DARK, _RUNS_DARK)
    return "\n".join(
        [
            f":root {{ color-scheme: light; {light} }}",
            "@media (prefers-color-scheme: dark) {",
            f"  :root:not([data-theme='light']) {{ color-scheme: dark; {dark} }}",
            "}",
            f":root[data-theme='dark'] {{ color-scheme: dark; {dark} }}",
        ]
    )


def _declared(colours: dict[str, str], runs: tuple[str, ...]) -> str:
    named = {**colours, **{f"run-{place}": colour for place, colour in enumerate(runs)}}
    return " ".join(f"--{name}: {colour};" for name, colour in named.items())
