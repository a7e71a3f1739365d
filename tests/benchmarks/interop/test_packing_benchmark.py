"""The table of re-packed layers, from files that may be no patterns."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.interop.packing import main
from evop_deap.base.errors import InputError


def test_a_pattern_is_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.txt").write_text("none\nattn\nmlp\nattn+mlp\n")
    main([str(tmp_path / "small.txt")])
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["small", "2", "2"]


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`files` has .* which cannot be read"):
        main([str(tmp_path)])
