"""Who is admitted next: fair between teams in tokens, first come first served within a team."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from typing import Generic, Protocol, TypeVar


class Queued(Protocol):
    """What the queue needs to know of a request."""

    team: str


R = TypeVar("R", bound=Queued)


class _Team(Generic[R]):
    __slots__ = ("forking", "living", "served", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[R] = deque()
        self.forking: deque[R] = deque()
        self.served = 0.0
        self.living: set[R] = set()


class FairQueue(Generic[R]):
    """Requests that wait for a place, each team's in order; the team served least is next.

    Served is counted in tokens, prompt and sampled alike, as they are computed. A team that comes
    back after being idle starts level with the least served of those present: it neither pays for
    nor profits from its absence. The next request is never passed over for one that would fit
    better, so a large one cannot be starved by small ones.

    A request waits twice: once to begin, then (`fork`) for a place for each further sample.
    """

    def __init__(self) -> None:
        self._teams: dict[str, _Team[R]] = {}
        self._level = 0.0

    def push(self, request: R) -> None:
        """Add a new request."""
        team = self._teams.get(request.team)
        if team is None:
            team = self._teams[request.team] = _Team()
        if not team.living:
            self._forget_the_idle(keep=team)
            team.served = max(team.served, self._lowest_present())
        team.living.add(request)
        team.waiting.append(request)

    def push_fork(self, request: R) -> None:
        """Let a request that has begun wait for places for its remaining samples."""
        self._teams[request.team].forking.append(request)

    def peek(self, leave_out: Collection[str] = ()) -> R | None:
        """The request to admit next, if any: of the least served team, forks before beginnings."""
        best: _Team[R] | None = None
        for name, team in self._teams.items():
            if not (team.waiting or team.forking) or name in leave_out:
                continue
            if best is None or team.served < best.served:
                best = team
        if best is None:
            return None
        return best.forking[0] if best.forking else best.waiting[0]

    def remove(self, request: R) -> None:
        """Take a request out of the waiting lines; its place among the living stays."""
        team = self._teams[request.team]
        for line in (team.forking, team.waiting):
            if line and line[0] is request:
                line.popleft()
                return
        for line in (team.forking, team.waiting):
            if request in line:
                line.remove(request)
                return

    def end(self, request: R) -> None:
        """Say that a request was answered, one way or another."""
        self.remove(request)
        self._teams[request.team].living.discard(request)

    def charge(self, team: str, tokens: float) -> None:
        """Count computed tokens against a team."""
        self._teams[team].served += tokens

    def everyone(self) -> list[R]:
        """All requests not yet answered."""
        return [request for team in self._teams.values() for request in team.living]

    def waiting(self) -> int:
        """How many requests have not begun. May be asked from any thread."""
        return sum(len(team.waiting) for team in list(self._teams.values()))

    def __bool__(self) -> bool:
        return any(team.waiting or team.forking for team in self._teams.values())

    def _lowest_present(self) -> float:
        """Where a newcomer starts: level with the least served present, or with all if none is."""
        everyone = self._teams.values()
        present: Iterable[float] = (team.served for team in everyone if team.living)
        most = max(team.served for team in everyone)
        self._level = max(self._level, min(present, default=most))
        return self._level

    def _forget_the_idle(self, keep: _Team[R]) -> None:
        """Drop idle teams that the others have caught up with: they would start level anyway."""
        level = self._lowest_present()
        for name in [
            name
            for name, team in self._teams.items()
            if not team.living and team is not keep and team.served <= level
        ]:
            del self._teams[name]
