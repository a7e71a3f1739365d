"""Workers on the nodes of a Ray cluster, and the tasks that they do.

The driver alone decides: a worker has one task at a time, and a task that was lost with its worker
is given to another one. So nothing is counted twice, whatever dies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from evop_deap.base.errors import EvopError, one_line
from evop_deap.distributed.share import Share
from evop_deap.distributed.task_ledger import DEATHS, TaskLedger
from evop_deap.distributed.worker import (
    Call,
    Opened,
    Setup,
    Worker,
    WorkersError,
    differences,
)
from evop_deap.fitness.protocol import Evaluation

_PATIENCE = 300.0  # seconds without any worker
_GRACE = 60.0  # seconds that a beginning waits for a worker whose node has no room yet
_LOOK = 1.0  # seconds between two looks at the nodes


@dataclass(eq=False)
class _Hand:
    """The driver's side of a worker: it is placed, then opened, then has one task at a time."""

    actor: Any
    node: str
    address: str
    state: str = "placing"
    task: int | None = None
    seen: set[int] = field(default_factory=set)


class WorkerPool:
    """As many workers as fit on the nodes of the cluster to which this process is connected.

    Workers are started on nodes that join, and again in the place of those that died.

    Args:
        setup: makes each worker's evaluator.
        here: what must be equal in each worker, by name; see `Made`.
        share: what a worker takes of a node.
        most: largest number of workers; by default as many as there is room for.
        patience: seconds to wait without any worker.
        tell: gets a line when workers join or are lost.

    Raises:
        WorkersError: on entering, no worker can be started, or one differs from this process.
    """

    def __init__(
        self,
        setup: Setup,
        here: Mapping[str, str],
        share: Share,
        *,
        most: int | None = None,
        patience: float = _PATIENCE,
        tell: Callable[[str], object] = lambda line: None,
    ) -> None:
        import ray

        self._ray = ray
        self._setup, self._here, self._share, self._most = ray.put(setup), here, share, most
        self._patience, self._tell = patience, tell
        # A dead worker is replaced here and not by Ray, and its task is not repeated by Ray.
        self._actors = ray.remote(max_restarts=0, max_task_retries=0)(Worker)
        self._tasks = TaskLedger()
        self._pending: dict[Any, _Hand] = {}
        self._idle: list[_Hand] = []
        self._refused: set[str] = set()
        self._deaths: dict[str, tuple[int, float]] = {}  # of each node: how many, and when
        self._looked = self._alive = time.monotonic()
        self._unreported = 0.0

    def __enter__(self) -> WorkerPool:
        began = time.monotonic()
        self._start_missing()
        if not self._pending:
            raise WorkersError(f"`workers`: no node has room for one, which takes {self._share}")
        while not self.ready or any(hand.state == "opening" for hand in self._hands):
            self._advance(strict=True)
            self._check_alive()
        while self._pending and time.monotonic() - began < _GRACE:
            self._advance(strict=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hand in self._hands:
            self._ray.kill(hand.actor)
        self._pending.clear()
        self._idle.clear()

    @property
    def ready(self) -> int:
        """Number of workers that can take a task or have one."""
        return sum(hand.state in ("idle", "busy") for hand in self._hands)

    def take_unreported(self) -> float:
        """Return dense-forward equivalents executed by new workers before their first pattern."""
        taken, self._unreported = self._unreported, 0.0
        return taken

    def do(self, calls: Sequence[Call]) -> Iterator[tuple[int, Evaluation]]:
        """Yield the position and the outcome of each call as soon as it is done.

        Args:
            calls: the calls, the largest first.

        Raises:
            WorkersError: no worker is left and none comes, or workers die again and again.
        """
        tasks = {self.begin(call): place for place, call in enumerate(calls)}
        self._alive = time.monotonic()
        while tasks:
            self._step()
            for task in self._tasks.found:
                if task in tasks:
                    yield tasks.pop(task), self._tasks.take(task)

    def begin(self, call: Call) -> int:
        """Add a call to those that workers do, and return its number."""
        return self._tasks.add(call)

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Wait until a call is done; return the number and the outcome of all that are.

        Raises:
            WorkersError: no worker is left and none comes, or workers die again and again.
        """
        self._alive = time.monotonic()
        while not self._tasks.found:
            self._step()
        return [(task, self._tasks.take(task)) for task in self._tasks.found]

    def forget(self) -> None:
        """Drop all calls; workers end those that they have begun, and what they find is lost."""
        self._tasks.drop()

    @property
    def _hands(self) -> list[_Hand]:
        return [*self._pending.values(), *self._idle]

    def _step(self) -> None:
        """Wait a moment; workers have tasks before and after, as long as there are any."""
        self._give()
        self._advance()
        self._give()
        self._check_alive()

    def _give(self) -> None:
        """Give tasks to the workers that have none."""
        while self._idle and (task := self._tasks.give(self._idle[0].seen)) is not None:
            hand, call = self._idle.pop(0), self._tasks[task]
            hand.state, hand.task = "busy", task
            hand.seen |= call.kept
            self._pending[hand.actor.evaluate.remote(call)] = hand

    def _advance(self, strict: bool = False) -> None:
        """Wait a moment, and take in what workers have done or become.

        Args:
            strict: raise an error if a worker differs from this process; else it is left out.
        """
        if time.monotonic() - self._looked > _LOOK:
            self._start_missing()
        refs = list(self._pending)
        if not refs:
            time.sleep(_LOOK)
            return
        done, others = self._ray.wait(refs, num_returns=1, timeout=_LOOK)
        if done and others:
            done += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        for ref in done:
            self._take_in(ref, strict)

    def _take_in(self, ref: Any, strict: bool) -> None:
        """Take in what a worker has done or become."""
        hand = self._pending.pop(ref)
        task, hand.task = hand.task, None
        try:
            found = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            self._failed(hand, error, strict)
        except self._ray.exceptions.RayError as error:
            self._died(hand, error, strict)
            if task is not None:
                self._tasks.lose(task)
        else:
            if hand.state == "placing":
                hand.state = "opening"
                self._pending[hand.actor.open.remote(self._setup)] = hand
                return
            if isinstance(found, Opened) and not self._accepted(hand, found, strict):
                return
            hand.state = "idle"
            self._idle.append(hand)
            if task is not None:
                self._deaths.pop(hand.node, None)
                self._tasks.finish(task, found)

    def _accepted(self, hand: _Hand, opened: Opened, strict: bool) -> bool:
        """Whether a new worker is like this process."""
        self._unreported += opened.prepared
        if found := differences(opened.facts, self._here):
            self._refuse(hand, found, strict)
            return False
        if not strict:
            self._tell(f"a worker joined on {hand.address}: {self.ready + 1} now")
        return True

    def _failed(self, hand: _Hand, error: Any, strict: bool) -> None:
        """Handle an error that a worker's code raised."""
        # What a node lacks shows when a worker is opened: the model, a package, a file.
        lacking = (EvopError, ImportError, OSError, self._ray.exceptions.RaySystemError)
        if hand.state == "opening" and isinstance(error.cause, lacking):
            self._refuse(hand, one_line(str(error.cause).partition("\n")[0]), strict)
            return
        self._ray.kill(hand.actor)
        raise error.cause if isinstance(error.cause, Exception) else error

    def _refuse(self, hand: _Hand, reason: str, strict: bool) -> None:
        """Use no worker on a node, and say why."""
        self._ray.kill(hand.actor)
        self._refused.add(hand.node)
        message = f"the worker on {hand.address} cannot be used: {reason}"
        if strict or not self._hands:
            raise WorkersError(message)
        self._tell(message)

    def _died(self, hand: _Hand, error: Exception, strict: bool) -> None:
        self._ray.kill(hand.actor)  # it may only be out of reach
        reason = one_line(str(error).partition("\n")[0])
        if strict:
            self._refuse(hand, reason, strict)
        deaths = self._deaths.get(hand.node, (0, 0.0))[0] + 1
        self._deaths[hand.node] = deaths, time.monotonic()
        if hand.state != "placing":
            left = "its work goes to others" if self.ready else "none is left for now"
            self._tell(f"a worker on {hand.address} was lost: {left}")
        if deaths >= DEATHS and hand.node in self._nodes:
            self._refuse(hand, f"{deaths} died there one after the other ({reason})", False)

    def _check_alive(self) -> None:
        """Raise an error if there was no worker for too long."""
        if any(hand.state != "placing" for hand in self._hands):
            self._alive = time.monotonic()
        elif time.monotonic() - self._alive > self._patience:
            raise WorkersError(
                f"`workers`: for {self._patience:.0f} s no node had room for one, which takes "
                f"{self._share}: add a node and --resume, or --resume with --workers 1"
            )

    @property
    def _nodes(self) -> dict[str, Any]:
        """What Ray says of each node that is alive, by its identity."""
        return {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}

    def _start_missing(self) -> None:
        """Start the workers that fit on the nodes beside those that there are."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._looked = time.monotonic()
        for name, node in self._nodes.items():
            deaths, when = self._deaths.get(name, (0, 0.0))
            # A node that is gone is seen by that only after some seconds.
            if name in self._refused or (deaths and self._looked - when < 2**deaths):
                continue
            there = sum(hand.node == name for hand in self._hands)
            for _ in range(self._share.fits(node["Resources"]) - there):
                if len(self._hands) == self._most:
                    return
                actor: Any = self._actors.options(
                    num_cpus=self._share.cpus,
                    num_gpus=self._share.gpus,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(name, soft=False),
                ).remote()
                hand = _Hand(actor, name, node["NodeManagerAddress"])
                self._pending[actor.process.remote()] = hand
