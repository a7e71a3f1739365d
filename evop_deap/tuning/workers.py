"""Which processes are at work on a study, and what becomes of the trials of one that was killed.

A journal file has no heartbeats. Each process holds a lock on a file of its own instead, which
the operating system lets go of however the process ends, and writes its name into its trials.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

WORKER = "worker"
RETRY_OF = "retry_of"


@dataclass(frozen=True)
class Workers:
    """The processes at work on a study, this one among them.

    Attributes:
        folder: of their locks.
        own: this process's name.
    """

    folder: Path
    own: str

    @classmethod
    @contextmanager
    def at_work(cls, folder: Path) -> Iterator[Workers]:
        """This process among those in `folder`, until the body ends."""
        from filelock import FileLock

        workers = cls(folder, uuid.uuid4().hex[:12])
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(workers._lock(workers.own)):
            yield workers
        workers._lock(workers.own).unlink(missing_ok=True)

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Nobody else is in the body at the same time."""
        from filelock import FileLock

        with FileLock(self.folder / "all.lock"):
            yield

    def sign(self, trial: Trial) -> None:
        """Write this process's name into a trial that it runs."""
        trial.set_user_attr(WORKER, self.own)

    def take_over(self, study: Study) -> list[int]:
        """Fail the trials of processes that are gone, and queue their settings again.

        One that was killed before it could sign had drawn no setting either; such a trial is
        given up once no other process is at work.

        Returns:
            The numbers of these trials.
        """
        from optuna.trial import TrialState

        if not self._lost(study):
            return []
        with self.one_at_a_time():
            lost = self._lost(study)
            for trial in lost:
                queue_again(study, trial)
                study.tell(trial.number, state=TrialState.FAIL)
        for worker in {t.user_attrs[WORKER] for t in lost if WORKER in t.user_attrs}:
            self._lock(worker).unlink(missing_ok=True)
        return [trial.number for trial in lost]

    def _lost(self, study: Study) -> list[FrozenTrial]:
        """Trials that nobody runs any more, though nobody has told how they ended."""
        from optuna.trial import TrialState

        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        alone = bool(running) and not any(map(self._is_alive, self._others()))
        return [trial for trial in running if self._is_lost(trial, alone)]

    def _is_lost(self, trial: FrozenTrial, alone: bool) -> bool:
        worker = trial.user_attrs.get(WORKER)
        if worker is None:
            return alone and not trial.params
        return worker != self.own and not self._is_alive(worker)

    def _others(self) -> list[str]:
        names = {path.stem for path in self.folder.glob("*.lock")}
        return sorted(names - {"all", self.own})

    def _is_alive(self, worker: str) -> bool:
        """Whether the process of that name still holds its lock."""
        from filelock import FileLock, Timeout

        path = self._lock(worker)
        if not path.exists():
            return False
        try:
            with FileLock(path, timeout=0):
                return False
        except Timeout:
            return True

    def _lock(self, worker: str) -> Path:
        return self.folder / f"{worker}.lock"


def queue_again(study: Study, trial: FrozenTrial) -> None:
    """Let somebody run the settings of a trial that came to nothing, once.

    Settings that the trial had not drawn yet are drawn anew.
    """
    trials = study.get_trials(deepcopy=False)
    if any(other.user_attrs.get(RETRY_OF) == trial.number for other in trials):
        return
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    study.enqueue_trial(params, user_attrs={RETRY_OF: trial.number})
