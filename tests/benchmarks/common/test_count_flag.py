from __future__ import annotations

import importlib
import sys

import pytest

COMMANDS = {
    "board.luck": ["--draws", "--sizes"],
    "board.limit": ["--best"],
    "distributed.workers": ["--seeds", "--groups", "--most"],
    "distributed.speedup": ["--rounds"],
    "evaluator.on_gpu": ["--patterns"],
    "search.quality": ["--seeds", "--workers"],
    "search.racing": ["--seeds", "--generations"],
    "search.stagnation": ["--seeds"],
    "search.when_sure": ["--seeds"],
    "tuning.mutation": ["--seeds", "--evaluations"],
    "tuning.tuned_vs_default": ["--evaluations"],
}


@pytest.mark.parametrize("number", ["0", "-3"])
@pytest.mark.parametrize(
    ("command", "flag"), [(command, flag) for command in COMMANDS for flag in COMMANDS[command]]
)
def test_a_count_below_one_is_named(
    command: str,
    flag: str,
    number: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = importlib.import_module(f"benchmarks.{command}")
    monkeypatch.setattr(sys, "argv", [command, f"{flag}={number}"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1].removesuffix(" (see --help)")
    assert last.endswith(f"error: argument {flag}: must be at least 1, but got {number}")
