"""The folder of files that outlive a run."""

from __future__ import annotations

import os
from pathlib import Path

LOSSES_FILE = "losses.sqlite"
"""Name of the file with the shared losses, in the cache folder."""

CLUSTERED, CORPORA, EMBEDDINGS = "clusters", "corpora", "embeddings"
REHEARSALS, SCORES, TEACHERS = "rehearsals", "scores", "teachers"
KEPT_FOLDERS = (CLUSTERED, CORPORA, EMBEDDINGS, REHEARSALS, SCORES, TEACHERS)
"""Names of the folders in the cache folder with what was computed before."""


def cache_folder() -> Path:
    """The user's cache folder for evop_deap; the environment variable EVOP_CACHE overrides it."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("EVOP_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("evop_deap", appauthor=False)
