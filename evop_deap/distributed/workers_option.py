"""What `--workers` may be: a number, "auto", or the address of a cluster."""

from __future__ import annotations

from evop_deap.base.errors import InputError
from evop_deap.base.numbers import whole_number

AUTO = "auto"
_ALONE = "1"


def needs_cluster(workers: str) -> bool:
    """Whether `--workers` asks for more than this process.

    Example:
        >>> [needs_cluster(workers) for workers in ("1", "2", "auto", "ray://host:10001")]
        [False, True, True, True]

    Raises:
        InputError: it is no number of workers, "auto" or address.
    """
    if workers == _ALONE:
        return False
    if workers == AUTO or is_address(workers):
        return True
    try:
        count = whole_number(workers)
    except ValueError:
        count = 0
    if count < 1:
        raise InputError(
            "`workers` must be a number of at least 1, auto or an address such as "
            f"ray://host:10001, but got '{workers}'"
        )
    return count > 1


def most_workers(workers: str) -> int | None:
    """Return the number of workers that is asked for; None for as many as there is room for."""
    return None if workers == AUTO or is_address(workers) else whole_number(workers)


def is_address(workers: str) -> bool:
    """Whether it is the address of a cluster."""
    return ":" in workers
