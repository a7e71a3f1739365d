"""The processes that run a study, and the recovery of trials of killed processes.

A journal file has no heartbeats. Instead, each process locks a file of its own, which the operating
system releases however the process ends, and writes its name into its trials.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

WORKER = "worker"
RETRY_OF = "retry_of"


@dataclass(frozen=True)
class Workers:
    """The processes that run a study, with this one.

    Attributes:
        folder: folder of their locks.
        own: name of this process.
    """

    folder: Path
    own: str

    @classmethod
    @contextmanager
    def at_work(cls, folder: Path) -> Iterator[Workers]:
        """Register this process in `folder` until the body ends; the last one removes it."""
        workers = cls(folder, uuid.uuid4().hex[:12])
        lock = workers._registered()
        try:
            yield workers
        finally:
            lock.release()
            workers._leave()

    def _registered(self) -> BaseFileLock:
        from filelock import FileLock

        lock = FileLock(self._lock(self.own))
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
                return lock
            except FileNotFoundError:  # another process has just removed the folder
                continue

    def _leave(self) -> None:
        """Remove the locks of this process and of ended ones, and the folder with the last one."""
        for worker in (self.own, *self._others()):
            if worker == self.own or not self._is_alive(worker):
                self._lock(worker).unlink(missing_ok=True)
        if not self._others():
            with suppress(OSError):
                (self.folder / "all.lock").unlink(missing_ok=True)
                self.folder.rmdir()

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Hold a lock that all processes of the study share."""
        from filelock import FileLock

        with FileLock(self.folder / "all.lock"):
            yield

    def sign(self, trial: Trial) -> None:
        """Write this process's name into a trial that it runs."""
        trial.set_user_attr(WORKER, self.own)

    def take_over(self, study: Study) -> list[int]:
        """Fail the trials of ended processes, and queue their settings again.

        A trial without a process's name has no settings yet. It is failed when no other process
        is running.

        Returns:
            The numbers of these trials.
        """
        from optuna.trial import TrialState

        if not self._abandoned(study):
            return []
        with self.one_at_a_time():
            abandoned = self._abandoned(study)
            for trial in abandoned:
                queue_again(study, trial)
                study.tell(trial.number, state=TrialState.FAIL)
        for worker in {t.user_attrs[WORKER] for t in abandoned if WORKER in t.user_attrs}:
            self._lock(worker).unlink(missing_ok=True)
        return [trial.number for trial in abandoned]

    def _abandoned(self, study: Study) -> list[FrozenTrial]:
        """Return the trials marked as running whose process has ended."""
        from optuna.trial import TrialState

        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        alone = bool(running) and not any(map(self._is_alive, self._others()))
        return [trial for trial in running if self._is_abandoned(trial, alone)]

    def _is_abandoned(self, trial: FrozenTrial, alone: bool) -> bool:
        worker = trial.user_attrs.get(WORKER)
        if worker is None:
            return alone and not trial.params
        return worker != self.own and not self._is_alive(worker)

    def _others(self) -> list[str]:
        names = {path.stem for path in self.folder.glob("*.lock")}
        return sorted(names - {"all", self.own})

    def _is_alive(self, worker: str) -> bool:
        """Return whether the process of that name still holds its lock."""
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
    """Queue the settings of a failed trial again, at most once.

    Settings that the trial had not drawn are drawn then.
    """
    trials = study.get_trials(deepcopy=False)
    if any(other.user_attrs.get(RETRY_OF) == trial.number for other in trials):
        return
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    study.enqueue_trial(params, user_attrs={RETRY_OF: trial.number})
