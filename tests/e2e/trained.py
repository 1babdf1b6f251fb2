"""The run that tests of the dashboard look at, and what they do in a browser again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from playwright.sync_api import Page

import tinsmith
from tests.conftest import LiveStack
from tinsmith import AdamParams, Datum, SamplingParams

BASE_MODEL = "tinsmith/nano-qwen3"
STEPS, GROUPS, SIBLINGS = 12, 4, 4
PATIENCE_MS = 30_000


@dataclass
class Trained:
    """A run that has trained, and what its program has seen of it."""

    service: tinsmith.ServiceClient
    training: tinsmith.TrainingClient
    url: str
    losses: list[float] = field(default_factory=list)
    rewards: dict[int, list[float]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.training.model_id


def train(stack: LiveStack) -> Iterator[Trained]:
    """Learn a sentence, and now and then sample and grade; all of it is told to the server."""
    with tinsmith.ServiceClient(base_url=stack.url, api_key=stack.api_key) as service:
        training = service.create_lora_training_client(
            BASE_MODEL,
            rank=8,
            user_metadata={"name": "kettle <b>1</b>", "planned_steps": str(STEPS + 4)},
        )
        trained = Trained(service, training, training.get_console_url())
        tokenizer = training.get_tokenizer()
        text = tokenizer.encode("The tinsmith mends the kettle.")
        prompt = tinsmith.ModelInput.from_ints(text[:3])
        for step in range(STEPS):
            passed = training.forward_backward([Datum.from_tokens(text)], "cross_entropy")
            training.optim_step(AdamParams(learning_rate=2e-3))
            trained.losses.append(passed.result(60).loss)
            training.log({"loss": trained.losses[-1], "optim/lr": 2e-3}, step).result(60)
            if step % 4 == 0:
                roll_out(trained, tokenizer, prompt, step)
        training.save_weights_for_sampler("kettle").result(60)
        yield trained


def roll_out(trained: Trained, tokenizer: object, prompt: tinsmith.ModelInput, step: int) -> None:
    """Sample groups, grade them by how many letters "e" they have, and record them."""
    recorded = trained.training.save_weights_and_get_sampling_client(record_stability_info=True)
    params = SamplingParams(max_tokens=12, seed=step)
    rollouts = []
    for group in range(GROUPS):
        for index, sample in enumerate(
            recorded.sample(prompt, SIBLINGS, params).result(60).sequences
        ):
            said = tokenizer.decode(sample.tokens)  # type: ignore[attr-defined]
            reward = float(said.count("e"))
            trained.rewards.setdefault(step, []).append(reward)
            trained.said.append(said)
            rollouts.append(
                {
                    "group": group,
                    "index": index,
                    "prompt": "The tinsmith",
                    "sequences": [sample],
                    "reward": reward,
                    "components": {"letters": reward},
                    "tags": ["kettles"] if group else ["pots"],
                }
            )
    trained.training.log_rollouts(rollouts, step).result(60)


def sign_in(page: Page, stack: LiveStack, path: str = "/sign-in") -> None:
    """Fill in the form by its labels."""
    page.goto(f"{stack.url}{path}")
    page.get_by_label("Name").fill(stack.admin_username)
    page.get_by_label("Password").fill(stack.admin_password)
    page.get_by_role("button", name="Sign in").click()


def shown(value: float) -> str:
    """A metric as pages show it: four significant digits."""
    return f"{value:.4g}"


def comes(page: Page, found: Callable[[], bool]) -> None:
    """Wait while the page goes on until something is found."""
    for _ in range(PATIENCE_MS // 100):
        if found():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not come")
