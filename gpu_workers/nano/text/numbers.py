"""Tasks on small numbers. Some sums are wrong on purpose: skill that reinforcement can sharpen."""

from collections.abc import Callable
from random import Random

from gpu_workers.nano.text.words import listed

Task = Callable[[Random], tuple[str, str]]
_ONES = listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = listed("_ _ twenty thirty forty fifty sixty seventy eighty ninety")
WRONG = 0.3  # share of sums and differences with a wrong answer


def in_words(n: int) -> str:
    """English for 0..99: `forty-two`."""
    if n < 20:
        return _ONES[n]
    return _TENS[n // 10] + (f"-{_ONES[n % 10]}" if n % 10 else "")


def _noisy(r: Random, n: int, wrong: float) -> str:
    if r.random() < wrong:
        n += r.choice((-10, -2, -1, 1, 2, 10))
    return str(max(n, 0))


def add(r: Random, wrong: float = WRONG) -> tuple[str, str]:
    top = r.choice((10, 20, 50))
    a, b = r.randrange(top), r.randrange(top)
    return r.choice(
        (f"{a}+{b}=?", f"What is {a} + {b}?", f"Add {a} and {b}.", f"What is {a} plus {b}?")
    ), _noisy(r, a + b, wrong)


def subtract(r: Random, wrong: float = WRONG) -> tuple[str, str]:
    a, b = sorted((r.randrange(30), r.randrange(30)), reverse=True)
    return r.choice((f"{a}-{b}=?", f"What is {a} - {b}?", f"What is {a} minus {b}?")), _noisy(
        r, a - b, wrong
    )


def compare(r: Random) -> tuple[str, str]:
    a, b = r.sample(range(100), 2)
    if r.random() < 0.5:
        name, right = "bigger", max(a, b)
    else:
        name, right = "smaller", min(a, b)
    return r.choice((f"Which is {name}, {a} or {b}?", f"Say the {name} number: {a}, {b}")), str(
        right
    )


def parity(r: Random) -> tuple[str, str]:
    n = r.randrange(100)
    return r.choice((f"Is {n} even or odd?", f"Even or odd: {n}")), "odd" if n % 2 else "even"


def neighbour(r: Random) -> tuple[str, str]:
    n = r.randrange(1, 99)
    if r.random() < 0.5:
        return r.choice((f"Which number comes after {n}?", f"What comes after {n}?")), str(n + 1)
    return r.choice((f"Which number comes before {n}?", f"What comes before {n}?")), str(n - 1)


def count_on(r: Random) -> tuple[str, str]:
    a = r.randrange(0, 90)
    b = a + r.randint(2, 5)
    return r.choice((f"Count from {a} to {b}.", f"Count from {a} up to {b}.")), " ".join(
        str(n) for n in range(a, b + 1)
    )


def to_words(r: Random) -> tuple[str, str]:
    n = r.randrange(100)
    return r.choice((f"Write {n} in words.", f"Say {n} as a word.")), in_words(n)


def to_digits(r: Random) -> tuple[str, str]:
    n = r.randrange(100)
    return r.choice((f"Write {in_words(n)} in digits.", f"Which number is {in_words(n)}?")), str(n)


NUMBER_TASKS: dict[str, tuple[int, Task]] = {
    "add": (14, add),
    "subtract": (5, subtract),
    "compare numbers": (4, compare),
    "even or odd": (2, parity),
    "next number": (3, neighbour),
    "count on": (3, count_on),
    "number to words": (3, to_words),
    "words to number": (3, to_digits),
}
