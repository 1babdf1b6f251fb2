"""verifiers: tasks with rewards, played by the package's own agents, whose model is our policy.

An agent of verifiers asks a model at an address. So one is served here, on this machine alone and
within this process, which hands every request to the policy whose episode it is of.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tinsmith.renderers import Ending
from tinsmith_recipes.environment.adapters import (
    Problems,
    another,
    check_known,
    imported,
    options,
)
from tinsmith_recipes.training.order import seed_of
from tinsmith_recipes.training.rl import Environment, Outcome, Policy

EXTRA = "verifiers"
MODEL = "policy"
NO_KEY = "TINSMITH_NO_KEY"  # no variable: else the package would send the user's Prime key
FINISHED = {Ending.CUT_OFF: "length"}


@dataclass(frozen=True)
class Tasked(Environment):
    """A task; the reward is the sum of its own rewards.

    Attributes:
        env: the package's environment, which says how agents play a task.
        task: the package's task.
        model: where its agents find the policy.
    """

    env: Any
    task: Any
    model: Model
    tags = (EXTRA,)

    async def play(self, policy: Policy) -> Outcome:
        """Have the package play one episode."""
        traces: list[Any] = []
        model = self.model

        def minted(trace: Any) -> None:
            traces.append(trace)
            model.policies[trace.id] = policy if trace.agent.trainable else another(policy)

        try:
            episode = await self.env.run_episode(self.task, model.context(), on_trace=minted)
            failed = [model.failures[one.id] for one in traces if one.id in model.failures]
        finally:
            for trace in traces:
                model.policies.pop(trace.id, None)
                model.failures.pop(trace.id, None)
        if failed:
            raise failed[0]  # as it was raised: that the context is full, for one
        if not episode.ok:
            errors = [one for held in (episode, *episode.traces) for one in held.errors]
            said = f"{errors[0].type}: {errors[0].message}" if errors else "it ended early"
            raise RuntimeError(f"verifiers could not play {self.task.key}: {said}")
        mine = [trace for trace in traces if trace.agent.trainable]
        if len(mine) != 1:
            raise RuntimeError(f"{len(mine)} agents are to learn at once; this trains one")
        (trace,) = mine
        parts = {name: float(value) for name, value in trace.metrics.items() if value is not None}
        return Outcome(float(trace.reward), {"turns": float(trace.num_turns), **parts})


@dataclass
class Model:
    """The policies, as a model that is asked over HTTP in OpenAI's form.

    Attributes:
        policies: by the trace that asks.
        failures: what a policy raised, by the same.
        address: of the server while it serves.
    """

    policies: dict[str, Policy] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)
    address: str = ""

    def context(self) -> Any:
        """Where verifiers asks.

        Raises:
            RuntimeError: it is not served.
        """
        if not self.address:
            raise RuntimeError("a task of verifiers is played within `serving` of its problems")
        vf = imported("verifiers.v1", EXTRA)
        client = vf.EvalClientConfig(base_url=self.address, api_key_var=NO_KEY)
        return vf.ModelContext(model=MODEL, client=client)

    @asynccontextmanager
    async def serving(self, env: Any) -> AsyncIterator[None]:
        """Serve it, and what the environment shares among its episodes."""
        web = imported("aiohttp.web", EXTRA)
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.address = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
            async with env.serving():
                yield
        finally:
            self.address = ""
            await runner.cleanup()

    async def _answer(self, request: Any) -> Any:
        web = imported("aiohttp.web", EXTRA)
        session = imported("verifiers.v1.clients.client", EXTRA).SESSION_ID_HEADER
        trace = request.headers.get(session, "")
        if trace not in self.policies:
            return web.json_response({"error": {"message": "no such episode"}}, status=404)
        body = await request.json()
        if body.get("stream"):
            words = "answers are not streamed while training"
            return web.json_response({"error": {"message": words}}, status=400)
        try:
            reply = await self.policies[trace](
                [_plain(message) for message in body["messages"]], tools=body.get("tools")
            )
        except Exception as error:
            self.failures.setdefault(trace, error)
            return web.json_response({"error": {"message": str(error)}}, status=400)
        message = {"content": None, **reply.message, "role": "assistant"}
        calls = "tool_calls" if message.get("tool_calls") else "stop"
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": FINISHED.get(reply.ending, calls),
        }
        return web.json_response(
            {
                "id": f"chatcmpl-{trace}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": MODEL,
                "choices": [choice],
            }
        )


def load(task: str, words: str, *, learn: int, held_out: int, seed: int) -> Problems:
    """Tasks of a taskset, in an order of the seed where it has an end.

    Args:
        task: the taskset's name: its module's, or one on verifiers' hub that is installed.
        words: ``key=value,…`` for its configuration.
        learn, held_out: how many tasks of each kind; fewer to learn from where there are no more.
        seed: of the order.

    Raises:
        ValueError: no such taskset or option; too few tasks.
    """
    vf = imported("verifiers.v1", EXTRA)
    given = options(words)
    try:
        fields = vf.taskset_config_type(task).model_fields
    except (ModuleNotFoundError, AttributeError, TypeError) as error:
        raise ValueError(f"{task} is no taskset of verifiers: {error}") from None
    for name in given:
        check_known(f"option of {task}", name, (one for one in fields if one != "id"))
    try:
        env = _environment(vf, task, given)
    except ValueError as error:
        raise ValueError(f"{task} with options {words!r}: {error}") from None
    taskset = env.taskset
    ordered = taskset.shuffle(seed_of(EXTRA, seed)) if taskset.bounded else taskset
    found: dict[str, Any] = {}
    for one in itertools.islice(ordered, learn + held_out):
        found.setdefault(_content(one), one)
    if len(found) <= held_out:
        raise ValueError(f"{task} has {len(found)} tasks: too few to hold {held_out} of them out")
    model = Model()
    tasks = [Tasked(env, one, model) for one in found.values()]
    return Problems(tasks[held_out:], tasks[:held_out], serving=lambda: model.serving(env))


def _environment(vf: Any, task: str, given: Mapping[str, Any]) -> Any:
    """Its environment, whose agents run on this machine, and within this process where they can."""
    roles = [
        name
        for name, described in vf.env_config_type(task).model_fields.items()
        if isinstance(described.default, vf.AgentConfig)
    ]
    agent: dict[str, Any] = {"runtime": {"type": "subprocess"}}
    # what stands for none: it would let the model run commands here
    is_ours = vf.default_harness_id(task) == "bash"
    if is_ours:
        agent["harness"] = {"id": "null"}
    config = vf.resolve_env_config(
        {"taskset": {"id": task, **given}, **{role: dict(agent) for role in roles}}
    )
    kind = vf.environment_class(task)
    chat = _chat_harness()

    async def setup(self: Any, agents: Any) -> None:
        await kind.setup(self, agents)
        for role in roles:
            getattr(agents, role).harness = chat

    return type(kind.__name__, (kind,), {"setup": setup} if is_ours else {})(config)


def _chat_harness() -> Any:
    """What asks the model in a chat: the package's own, without a process for every episode."""
    null = imported("verifiers.v1.harnesses.null", EXTRA)
    kind = null.NullHarness

    async def setup(self: Any, runtime: Any) -> None:
        """There is no program to install."""

    async def launch(
        self: Any,
        ctx: Any,
        trace: Any,
        runtime: Any,
        endpoint: str,
        secret: str,
        mcp_urls: Mapping[str, str],
        data: Any,
        tool_interception_url: str | None = None,
    ) -> Any:
        if mcp_urls:  # tools are called by the package's program, which uv starts
            await kind.setup(self, runtime)
            return await kind.launch(
                self, ctx, trace, runtime, endpoint, secret, mcp_urls, data, tool_interception_url
            )
        system, prompt = self.resolve_prompt(data)
        wire = imported("verifiers.v1.dialects.chat", EXTRA).message_to_wire
        messages = [{"role": "system", "content": system}] if system else []
        if isinstance(prompt, str):
            messages.append({"role": "user", "content": prompt})
        else:
            messages += [wire(message) for message in prompt or ()]
        http = imported("aiohttp", EXTRA)
        async with (
            http.ClientSession(timeout=http.ClientTimeout(total=None)) as client,
            client.post(
                f"{endpoint}/chat/completions",
                json={"model": ctx.model, "messages": messages},
                headers={"Authorization": f"Bearer {secret}"},
            ) as response,
        ):
            said = await response.text()
        result = imported("verifiers.v1.runtimes", EXTRA).ProgramResult
        return result(0, said, "") if response.status < 400 else result(1, "", said)

    return type("ChatHarness", (kind,), {"setup": setup, "launch": launch})(
        null.NullHarnessConfig(id="null")
    )


def _content(task: Any) -> str:
    """A task without its number, which is all that sets some apart."""
    data: str = task.data.model_copy(update={"idx": None}).model_dump_json()
    return data


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message without what is empty in it, and with parts of text as one text."""
    found = {name: value for name, value in message.items() if value is not None}
    content = found.get("content", "")
    if isinstance(content, list) and all(part.get("type") == "text" for part in content):
        content = "".join(part["text"] for part in content)
    return {**found, "content": content}
