"""The scheduler alone: order, barriers, fairness. No tensors, no threads."""

from __future__ import annotations

from collections import Counter

from gpu_workers.engine.scheduler import Barrier, Item, Pass, Scheduler


def everyone(run: str) -> bool:
    return True


def a_pass(run: str, tokens: int, chunk: int = 512) -> Pass:
    """A pass of so many tokens, cut into chunks."""
    costs = [min(chunk, tokens - start) for start in range(0, tokens, chunk)]
    return Pass(run, costs, payload=None)


def cycle(scheduler: Scheduler, budget: int = 1024) -> Counter[str]:
    """One cycle: tokens served by run. Passes that are complete are finished."""
    served: Counter[str] = Counter()
    for item, number in scheduler.cycle(budget, everyone):
        served[item.run] += item.costs[number]
        item.done += 1
        if item.done == len(item.costs):
            scheduler.finish(item)
    return served


def test_a_small_team_is_served_in_the_next_cycle_beside_a_huge_one() -> None:
    """64k tokens of one team delay 200 tokens of another by no more than the cycle under way."""
    scheduler = Scheduler(quantum=512)
    scheduler.add(a_pass("huge", 64 * 1024), "first")
    for _ in range(3):
        assert cycle(scheduler) == {"huge": 1024}
    scheduler.add(a_pass("small", 200), "second")
    assert cycle(scheduler)["small"] == 200


def test_teams_share_by_tokens_not_by_runs_or_requests() -> None:
    """Ten runs of one team get together what one run of the other gets."""
    scheduler = Scheduler(quantum=512)
    scheduler.add(a_pass("single", 40_000), "one")
    for number in range(10):
        for _ in range(40):
            scheduler.add(a_pass(f"many{number}", 100), "ten")
    served: Counter[str] = Counter()
    for _ in range(30):
        served += cycle(scheduler)
    of_ten = sum(tokens for run, tokens in served.items() if run != "single")
    assert abs(of_ten - served["single"]) <= 1024
    assert len(served) == 11  # and the ten take turns among themselves


def test_long_sequences_do_not_buy_a_larger_share() -> None:
    """Chunks of 2000 tokens against chunks of 100: both teams get as much over time."""
    scheduler = Scheduler(quantum=512)
    scheduler.add(a_pass("long", 100_000, chunk=2000), "one")
    scheduler.add(a_pass("short", 100_000, chunk=100), "two")
    served: Counter[str] = Counter()
    for _ in range(60):
        served += cycle(scheduler)
    assert min(served.values()) > 0.85 * max(served.values())


def test_a_chunk_over_the_budget_is_served_alone() -> None:
    scheduler = Scheduler(quantum=512)
    scheduler.add(a_pass("run", 5000, chunk=5000), "team")
    assert cycle(scheduler) == {"run": 5000}


def test_an_idle_team_saves_nothing_up() -> None:
    scheduler = Scheduler(quantum=512)
    scheduler.add(a_pass("busy", 50_000), "busy")
    for _ in range(20):
        cycle(scheduler)
    scheduler.add(a_pass("late", 50_000), "late")
    served: Counter[str] = Counter()
    for _ in range(10):
        served += cycle(scheduler)
    assert abs(served["late"] - served["busy"]) <= 512


def test_passes_are_served_up_to_the_first_barrier_and_barriers_when_nothing_precedes_them() -> (
    None
):
    scheduler = Scheduler(quantum=512)
    first, second, third = (a_pass("run", 100) for _ in range(3))
    step = Barrier("run", "step")
    items: list[Item] = [first, second, step, third]
    for item in items:
        scheduler.add(item, "team")
    assert scheduler.barriers(everyone) == []
    assert scheduler.cycle(1024, everyone) == [(first, 0), (second, 0)]
    assert scheduler.cycle(1024, everyone) == []
    scheduler.finish(first)
    assert scheduler.barriers(everyone) == []
    scheduler.finish(second)
    assert scheduler.barriers(everyone) == [step]
    scheduler.finish(step)
    assert scheduler.cycle(1024, everyone) == [(third, 0)]


def test_a_request_is_served_in_the_order_of_its_chunks_over_many_cycles() -> None:
    scheduler = Scheduler(quantum=100)
    item = a_pass("run", 1000, chunk=100)
    scheduler.add(item, "team")
    numbers = []
    while picked := scheduler.cycle(250, everyone):
        numbers += [number for _, number in picked]
    assert numbers == list(range(10))


def test_held_and_absent_runs_are_passed_over() -> None:
    scheduler = Scheduler(quantum=512)
    for run in ("held", "absent", "here"):
        scheduler.add(a_pass(run, 100), run)
    scheduler.hold("held")
    picked = scheduler.cycle(1024, lambda run: run != "absent")
    assert [item.run for item, _ in picked] == ["here"]
    assert scheduler.busy("held")
    scheduler.release("held")
    assert [item.run for item, _ in scheduler.cycle(1024, everyone)] == ["held", "absent"]


def test_dropping_a_run_gives_back_its_work_and_leaves_the_others() -> None:
    scheduler = Scheduler(quantum=512)
    work: list[Item] = [a_pass("gone", 2000), Barrier("gone", None)]
    for item in work:
        scheduler.add(item, "team")
    scheduler.add(a_pass("other", 100), "team")
    scheduler.cycle(600, everyone)
    assert scheduler.drop("gone") == work
    assert scheduler.drop("gone") == []
    assert not scheduler.waiting("gone")
    assert scheduler.waiting("other")


def test_queued_tokens_are_counted() -> None:
    scheduler = Scheduler(quantum=512)
    scheduler.add(a_pass("a", 2000), "team")
    scheduler.add(a_pass("b", 300), "team")
    assert scheduler.tokens == 2300
    picked = scheduler.cycle(600, everyone)
    left = 2300 - sum(item.costs[number] for item, number in picked)
    assert scheduler.tokens == left < 2300
    scheduler.drop("a")
    scheduler.drop("b")
    assert scheduler.tokens == 0
