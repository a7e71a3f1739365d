"""Zero-shot answers of all patterns of a board at once, by the population evaluator.

The patterns share the layers that they have in common, and the options of a question share its
text. Questions are answered in parts. A part is a file below the folder of the board, written when
it is finished: several processes share the work, and nothing is answered twice.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.board.making.evaluation_plan import EvaluationPlan, of_task
from benchmarks.board.making.pruned_model import Bench
from benchmarks.common.exclusive_files import claimed
from evop_deap.base.files import sha256_of_file, write_json
from evop_deap.evaluation.question_files import read_questions
from evop_deap.evaluation.task_files import task_file
from evop_deap.evaluation.zero_shot import TaskScore
from evop_deap.fitness.model.right_answers import RightAnswers, checked_answering
from evop_deap.models.anatomy.parts import Anatomy
from evop_deap.space import Pattern
from evop_deap.text.questions import Questions

_PART = 128
"""Questions in a file; a multiple of those that are computed together."""

_LENGTHS_ARE_EQUAL = ("winogrande",)

_Gone = tuple[str, tuple[str, ...]]
"""Granularity and dropped units of a pattern."""


@dataclass(frozen=True, eq=False)
class AnsweredTogether:
    """Answers to all questions of a plan by some patterns.

    Attributes:
        places: the place of each pattern in `right`, by its granularity and dropped units.
        right: (patterns, questions) whether an answer is right, by task.
        files: SHA-256 of the file of each task.
    """

    places: Mapping[tuple[str, frozenset[str]], int]
    right: Mapping[str, NDArray[np.bool_]]
    files: Mapping[str, str]

    def tasks_of(self, granularity: str, dropped: Sequence[str]) -> list[dict[str, Any]]:
        """Return the score of each task by a pattern, as JSON values."""
        place = self.places[granularity, frozenset(dropped)]
        words = f"evop_deap {version('evop_deap')}"
        return [
            of_task(
                TaskScore(
                    task,
                    "acc" if task in _LENGTHS_ARE_EQUAL else "acc_norm",
                    tuple(map(float, right[place])),
                    words,
                    self.files[task],
                )
            )
            for task, right in self.right.items()
        ]


def answer_together(
    bench: Bench,
    plan: EvaluationPlan,
    patterns: Sequence[tuple[str, Sequence[str]]],
    folder: Path,
    model_sha256: str,
) -> AnsweredTogether | None:
    """Answer all questions by all patterns; None while another process answers some.

    Args:
        bench: the model.
        plan: its tasks, on local files.
        patterns: granularity and dropped units of each.
        folder: of the answers.
        model_sha256: identifies the model.

    Raises:
        InputError: a file of questions cannot be read.
    """
    assert plan.tasks_from is not None
    wanted = sorted({(granularity, tuple(sorted(dropped))) for granularity, dropped in patterns})
    places = {(unit, frozenset(dropped)): at for at, (unit, dropped) in enumerate(wanted)}
    stems: dict[str, list[Path]] = {}
    files = {}
    for task in plan.tasks:
        path = task_file(plan.tasks_from, task)
        files[task] = sha256_of_file(path)
        written = read_questions(path)[: plan.limit]
        asked = [one.encoded(bench.loaded.tokenizer) for one in written]
        about = _short_sha256(model_sha256, str(bench.loaded.model.dtype), files[task])
        # What a task is answered by is checked once, if something is to be answered.
        answering = cache(partial(_answering, bench, wanted, Questions(tuple(asked))))
        stems[task] = []
        for start in range(0, len(asked), _PART):
            questions = Questions(tuple(asked[start : start + _PART]))
            stem = folder / f"{task}-{about}-{start}-{len(questions)}"
            _answer(bench, wanted, questions, stem, answering)
            stems[task].append(stem)
    # Read after all is answered: the process that ends last then finds the parts of the others.
    right = {}
    for task, names in stems.items():
        parts = [part for stem in names if (part := _part(wanted, stem)) is not None]
        if len(parts) < len(names):
            return None
        right[task] = np.concatenate(parts, axis=1)
    return AnsweredTogether(places, right, files)


def _answering(
    bench: Bench, wanted: Sequence[_Gone], questions: Questions, granularity: str
) -> RightAnswers:
    anatomy = bench.anatomies[granularity]
    patterns = [_pattern(anatomy, one) for one in wanted if one[0] == granularity]
    return checked_answering(bench.loaded.model, anatomy, patterns, questions, on_fallback=_tell)


def _answer(
    bench: Bench,
    wanted: Sequence[_Gone],
    questions: Questions,
    stem: Path,
    answering: Callable[[str], RightAnswers],
) -> None:
    """Answer what is not known of a part, and what no other process is at."""
    for granularity in sorted({unit for unit, _ in wanted}):
        known = _known(stem)
        new = [one for one in wanted if one[0] == granularity and _name(one) not in known]
        if not new:
            continue
        path = stem.with_name(f"{stem.name}-{_short_sha256(*map(_name, new))}.json")
        with claimed(path) as mine:
            if mine:
                anatomy = bench.anatomies[granularity]
                patterns = [_pattern(anatomy, one) for one in new]
                right = answering(granularity)(patterns, questions)
                rows = ("".join(map(str, row)) for row in right.astype(int))
                write_json(path, dict(zip(map(_name, new), rows, strict=True)))


def _part(wanted: Sequence[_Gone], stem: Path) -> NDArray[np.bool_] | None:
    """(patterns, questions) of a part; None while another process is at some."""
    known = _known(stem)
    if not all(_name(one) in known for one in wanted):
        return None
    return np.array([[one == "1" for one in known[_name(pattern)]] for pattern in wanted])


def _pattern(anatomy: Anatomy, gone: _Gone) -> Pattern:
    return tuple(int(part.name not in gone[1]) for part in anatomy.parts)


def _known(stem: Path) -> dict[str, str]:
    """The answers of a part in all its files: 1 for a right one, 0 for a wrong one."""
    known: dict[str, str] = {}
    for path in sorted(stem.parent.glob(f"{stem.name}-*.json")):
        known |= json.loads(path.read_text(encoding="utf-8"))
    return known


def _tell(reason: str) -> None:
    print(reason, file=sys.stderr, flush=True)


def _name(pattern: _Gone) -> str:
    granularity, dropped = pattern
    return " ".join((granularity, *dropped))


def _short_sha256(*words: str) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]
