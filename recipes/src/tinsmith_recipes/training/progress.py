"""What a run shows while it is at work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from tqdm import tqdm

LINES = 10


class Progress:
    """Shows the steps of one stage; ``headline`` names the metric to show first."""

    def __init__(self, title: str, begun: int, steps: int, headline: str) -> None:
        self._title, self._steps, self._headline = title, steps, headline
        self._bar = tqdm(
            total=steps,
            initial=begun,
            desc=title,
            unit="step",
            leave=False,
            disable=not sys.stderr.isatty(),
            dynamic_ncols=True,
        )

    def step(self, done: int, metrics: Mapping[str, float]) -> None:
        """``done`` steps are done."""
        shown = metrics.get(self._headline)
        value = "" if shown is None else f"{self._headline} {shown:.4g}"
        if not self._bar.disable:
            self._bar.set_postfix_str(value, refresh=False)
            self._bar.update(done - self._bar.n)
        elif done == 1 or done == self._steps or done % max(1, self._steps // LINES) == 0:
            self.say(f"{self._title}: step {done}/{self._steps}  {value}")

    def say(self, words: str) -> None:
        """Print a line beside the bar."""
        tqdm.write(words, file=sys.stderr)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()
