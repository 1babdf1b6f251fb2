"""``Policy``: what an environment calls to have the model say something. It keeps every turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from tinsmith import ModelInput, SamplingClient, SamplingParams
from tinsmith.renderers import Parsed, Renderer
from tinsmith_recipes.training.order import seed_of

Array = np.ndarray[Any, Any]
Stop = str | Sequence[str] | Sequence[int] | None


class ContextFull(Exception):
    """The text does not fit into the model's context any more, which ends the episode.

    The environment may catch it and say what the episode earned; else it earned the environment's
    ``overflow_reward``.
    """


@dataclass(frozen=True)
class Sampled:
    """What was sampled in one turn.

    Attributes:
        prompt: token ids before it.
        tokens: token ids, the stop token included.
        logprobs: [tokens] float32, each token's under the model that sampled.
        stop_reason: ``stop``, or ``length`` where it was cut off.
        sequence_id: what the server calls it.
        messages: the chat before it, and the message it is, where it was sampled as one.
    """

    prompt: list[int]
    tokens: list[int]
    logprobs: Array
    stop_reason: str
    sequence_id: str = ""
    messages: tuple[Mapping[str, Any], ...] = ()


class Policy:
    """The model, as one player of one episode sees it.

    Args:
        sampler: its weights.
        renderer: how chats are written for it.
        max_tokens: longest answer, unless a call says another.
        temperature: 1 samples from the model as it is.
        seed: decides every turn's draw, and ``random``.
        context: tokens that prompt and answer may have together; None where there is no limit.

    An environment can make one of its own, e.g. for an opponent that is not trained.
    """

    def __init__(
        self,
        sampler: SamplingClient,
        renderer: Renderer,
        *,
        max_tokens: int,
        temperature: float = 1.0,
        seed: int = 0,
        context: int | None = None,
    ) -> None:
        self.sampler, self.renderer = sampler, renderer
        self.max_tokens, self.temperature, self.context = max_tokens, temperature, context
        self.random = Random(seed)
        """For whatever the environment draws; the same whenever this episode is played."""
        self.turns: list[Sampled] = []
        self._seed = seed

    async def __call__(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Any] | None = None,
        prefill: str = "",
        max_tokens: int | None = None,
    ) -> Parsed:
        """The assistant's next message, ``.message``, and how it ended, ``.ending``.

        Args:
            messages: the chat so far.
            tools: that may be called, in OpenAI's form.
            prefill: how the message begins; it is not trained on.
            max_tokens: longest answer.

        Raises:
            ContextFull: the chat is as long as the context.
        """
        prompt = self.renderer.prompt(messages, tools, prefill)
        sampled = await self._draw(prompt, self.renderer.stop, max_tokens)
        parsed = self.renderer.parse(sampled.tokens, prefill)
        self.turns.append(replace(sampled, messages=(*messages, parsed.message)))
        return parsed

    async def sample(
        self, prompt: ModelInput, stop: Stop = None, max_tokens: int | None = None
    ) -> Sampled:
        """Tokens after a prompt of tokens.

        Raises:
            ContextFull: the prompt is as long as the context.
        """
        sampled = await self._draw(prompt, stop, max_tokens)
        self.turns.append(sampled)
        return sampled

    async def _draw(self, prompt: ModelInput, stop: Stop, max_tokens: int | None) -> Sampled:
        most = self.max_tokens if max_tokens is None else max_tokens
        if self.context is not None:
            most = min(most, self.context - prompt.length)
            if most < 1:
                raise ContextFull(f"{prompt.length} tokens fill the context of {self.context}")
        params = SamplingParams(
            max_tokens=most,
            temperature=self.temperature,
            seed=seed_of(self._seed, len(self.turns)),
            stop=stop,
        )
        (drawn,) = (await self.sampler.sample(prompt, 1, params)).sequences
        if drawn.logprobs_np is None:
            raise ValueError("the server sent no logprobs with the sample")
        return Sampled(
            prompt.to_ints(), drawn.tokens, drawn.logprobs_np, drawn.stop_reason, drawn.sequence_id
        )
