"""What a run has found, before the checkpoint is written: the most of `result.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evop_deap.base.typed import Loss, Size
from evop_deap.runs.storage.file_shapes import (
    AnswersDone,
    CompensationDone,
    Finalists,
    Learned,
    Limits,
    Parameters,
    Units,
    Validation,
    WorkDone,
)
from evop_deap.runs.storage.text_losses import Rival, TextLoss


@dataclass(frozen=True)
class Fitness:
    """The minimised fitness, on the calibration windows or the questions searched on.

    Attributes:
        name: "ce", cross-entropy, "kl", divergence from the dense model, or "answers",
            cross-entropy over the options of questions, or a sum such as "ce+0.5*answers".
        dense: fitness of the dense model, in nats per predicted token or per question.
        pruned: fitness of the pattern found, in the same unit.
        compensated: whether every pattern was evaluated with compensation.
    """

    name: str
    dense: Loss
    pruned: Loss
    compensated: bool = False


@dataclass(frozen=True)
class Findings:
    """The pattern found by a run, and everything measured before the export.

    Attributes:
        model: name of the model, as the user gave it.
        method: how the pattern was found: "search", or the name of a heuristic.
        model_fingerprint: hash of the weights and the configuration.
        corpus: name of the calibration corpus.
        kept: names of the kept units.
        dropped: names of the dropped units.
        merged: whether dropped blocks were merged into kept ones; the pattern then does not
            describe the whole model.
        units: all units in their order, each with its "name", "parameters" and "work", its
            multiply-adds for a token.
        n_blocks: blocks of the dense model.
        granularity: kind of the units: "block" or "half".
        sparsity: share of the units dropped.
        budget: for each "kind" of limit in the budget, the "limit" and the value "reached".
        fitness: the minimised fitness.
        calibration: losses on the calibration windows.
        heldout: losses on held-out windows.
        runner_up: the second best pattern; None where no other was evaluated.
        heuristics: seed patterns that heuristics picked, the best on the calibration windows
            first; empty without such seeds.
        parameters: parameters of the "dense" and the "pruned" model, tied ones counted once.
        evaluations: patterns evaluated by the search.
        cut_short: patterns among them that a race eliminated on a part of the windows.
        cache_hits: patterns with a cached loss.
        cost: dense-forward equivalents over the calibration set of everything that decides the
            pattern. It includes the dense baseline and validation, but neither compensation,
            which has its own cost, nor measurements for the report, such as held-out losses. It
            is what the search would have cost alone: losses that other searches have paid for
            are charged too.
        executed: dense-forward equivalents of them that were executed.
        work: executed work: "block_tokens" (tokens times units run), "head_tokens" and
            "bytes_held" (peak size of kept hidden states).
        finalists: the pattern found, then the others within three standard errors of the best.
            Each has the units "dropped", the "loss" in the search, the difference "behind" the
            best and its standard "error" over windows, in nats a token, and the loss on
            "validation" windows if they were needed.
        validation: how the pattern was chosen: the number of near-equals, "contenders" within one
            standard error of the best (1: nothing to decide), the number of validation "windows"
            (0: the corpus has no document left, and calibration windows decide alone) of
            "window" tokens, their "fingerprint", the "cost", and what was "executed" of it. A
            question counts as a window, with null as its "window".
        answers: where the search had questions, how many were "searched" on, for "validation" and
            "heldout"; and on the held-out ones the mean "loss" in nats a question and the
            "accuracy", the share answered right by length-normalised likelihood, of the "dense",
            the "pruned" and the "compensated" model. None without questions.
        compensation: outcome of compensation, from `compensated`; None where it was off.
        surrogate: effects of the units that the surrogate has learned, from
            `Explanation.as_dict`; None without a surrogate.
        generations: generations after the first; for a heuristic, requests after the first.
        stopped: why the search ended.
        seed: seed of all randomness.
        evaluator: class name of the evaluator.
        dtype: dtype of the model.
        device: type of the device, such as "cuda".
        versions: versions of the relevant packages.
    """

    model: str
    method: str
    model_fingerprint: str
    corpus: str
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    merged: bool
    units: Units
    n_blocks: Size
    granularity: str
    sparsity: float
    budget: Limits
    fitness: Fitness
    calibration: TextLoss
    heldout: TextLoss
    runner_up: Rival | None
    heuristics: tuple[Rival, ...]
    parameters: Parameters
    evaluations: int
    cut_short: int
    cache_hits: int
    cost: float
    executed: float
    work: WorkDone
    finalists: Finalists
    validation: Validation
    answers: AnswersDone | None
    compensation: CompensationDone | None
    surrogate: Learned | None
    generations: int
    stopped: str
    seed: int
    evaluator: str
    dtype: str
    device: str
    versions: Mapping[str, str]

    @property
    def beside(self) -> Rival | None:
        """The best heuristic's pick, if its losses are comparable with the pruned model's."""
        best = next(iter(self.heuristics), None)
        return None if best is None or best.compensated else best

    @property
    def is_compensated(self) -> bool:
        """Whether weights of the model handed over were solved anew."""
        return self.compensation is not None and bool(self.compensation["taken"])
