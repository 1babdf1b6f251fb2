"""``Run``: what a recipe trains with: the server's clients, the run's files, its log."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import chz

from tinsmith import RestClient, SamplingClient, ServiceClient, TrainingClient, errors, renderers
from tinsmith_recipes.training import transcripts
from tinsmith_recipes.training.clock import Clock
from tinsmith_recipes.training.figures import Figure
from tinsmith_recipes.training.folder import Checkpoint, RunFolder, Summary
from tinsmith_recipes.training.order import seed_of
from tinsmith_recipes.training.progress import Progress
from tinsmith_recipes.training.weights_and_biases import Report, check_wandb

if TYPE_CHECKING:
    from tinsmith_recipes.training.recipe import Recipe

DAY_S = 86_400
FINAL = "final"
MAX_METADATA = 16_000


class Run:
    """One training run of a recipe, or one stage of it.

    Attributes:
        recipe: its settings.
        folder: its files.
        service: the server.
        start: the step to begin with: 0, or where the last checkpoint ended.
        steps_done: the steps whose results are written down.
        extra: what that checkpoint was given to remember.
        tokens: tokens trained or sampled so far, kept by the loops.
        stopped: why the run ends early; None where it does not.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        service: ServiceClient,
        *,
        stage: str | None = None,
        from_state: str | None = None,
        outer: Clock | None = None,
    ) -> None:
        self.recipe, self.folder, self.service, self.stage = recipe, folder, service, stage
        self._from_state = from_state
        self._kept = folder.checkpoints
        self._resumed = self._kept[-1] if self._kept else None
        self.start = self.steps_done = self._resumed.step if self._resumed else 0
        self.extra: dict[str, Any] = self._resumed.extra if self._resumed else {}
        self.tokens = int(self.extra.get("tokens", 0))
        self.stopped: str | None = None
        self._advised: set[str] = set()
        self._stages: list[Summary] = []
        self._clock = Clock(folder, outer)
        self._progress: Progress | None = None
        self._report = Report(recipe, folder, stage) if recipe.wandb_project else None
        folder.forget_after(self.start)

    # ---- the server

    @cached_property
    def training(self) -> TrainingClient:
        """The adapter that is trained; made, or loaded from the last checkpoint, at first use."""
        metadata = self._metadata()
        if self._resumed is not None:
            return self.service.create_training_client_from_state_with_optimizer(
                self._resumed.state_path, user_metadata=metadata
            )
        if self._from_state is not None:
            return self.service.create_training_client_from_state(
                self._from_state, user_metadata=metadata
            )
        return self.service.create_lora_training_client(
            self.recipe.base_model,
            rank=self.recipe.rank,
            seed=self.seed("adapter"),
            user_metadata=metadata,
        )

    def begin_from(self, state: str | None) -> None:
        """Train on from a checkpoint's weights, with a fresh optimizer, and not a new adapter."""
        self._from_state = state

    @cached_property
    def _rest(self) -> RestClient:
        return self.service.create_rest_client()

    @cached_property
    def base(self) -> SamplingClient:
        """The base model, to compare with."""
        return self.service.create_sampling_client(base_model=self.recipe.base_model)

    @cached_property
    def tokenizer(self) -> Any:
        """The base model's tokenizer, of transformers."""
        return self.base.get_tokenizer()

    @cached_property
    def context(self) -> int | None:
        """How many tokens the base model takes in, if the server says."""
        offered = self.service.get_server_capabilities().supported_models
        found = (one for one in offered if one.model_name == self.recipe.base_model)
        return next((one.max_context_length for one in found), None)

    @cached_property
    def renderer(self) -> renderers.Renderer:
        """What writes chats as tokens: the recipe's, or that of the base model's family."""
        if self.recipe.renderer is not None:
            return renderers.get(self.recipe.renderer, self.tokenizer)
        return renderers.for_model(self.recipe.base_model, self.tokenizer)

    def sampler(self, is_recorded: bool = False) -> SamplingClient:
        """The weights as they are after all that was handed in, to sample from.

        ``is_recorded``: the server keeps what is sampled for a week, so that rollouts can name it.
        """
        return self.training.save_weights_and_get_sampling_client(record_stability_info=is_recorded)

    def seed(self, *parts: object) -> int:
        """A seed of the recipe's seed, this stage and ``parts``."""
        return seed_of(self.recipe.seed, self.stage, *parts)

    def _metadata(self) -> dict[str, str]:
        config = chz.asdict(self.recipe)
        steps = self.recipe.estimate().steps
        found = {
            "recipe": self.recipe.name,
            "stage": self.stage or "",
            "config": json.dumps(config)[:MAX_METADATA],
            # of a stage nobody says how many steps are its own
            "planned_steps": "" if self.stage else str(steps),
            "renderer_name": self.renderer.name,
            "git_revision": _git_revision(),
            "resumed_from": self._resumed.state_path if self._resumed else "",
        }
        return {name: value for name, value in found.items() if value}

    # ---- what is written down

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write down metrics of a step: in the run's folder, on the server, in W&B if asked."""
        timed = {**metrics, "time/total": self._clock.seconds}
        self.folder.add_metrics(step, timed)
        self._clock.keep()
        self.training.log(timed, step)
        if self._report is not None:
            self._report.log(step, timed)

    def transcript(self, step: int, episodes: Iterable[Mapping[str, Any]], kind: str = "") -> None:
        """Write what was sampled at a step as an HTML page; see ``transcripts.write``."""
        name = f"{kind + '-' if kind else ''}{step:06d}.html"
        title = f"{self.recipe.name}{' ' + kind if kind else ''}, step {step}"
        with suppress(OSError):  # a full disk costs no run
            transcripts.write(self.folder.path / "transcripts" / name, title, episodes)

    def advise(self, words: str, *, about: str | None = None) -> None:
        """Say something its user should know, once; ``about`` names it where words may vary."""
        topic = words if about is None else about
        if topic not in self._advised:
            self._advised.add(topic)
            self.say(words)

    def say(self, words: str) -> None:
        """Print a line, beside the progress bar if there is one."""
        if self._progress is not None:
            self._progress.say(words)
        else:
            print(words, file=sys.stderr)

    def show_progress(self, steps: int, headline: str) -> Progress:
        """The bar of this run's steps."""
        title = f"{self.recipe.name} {self.stage}" if self.stage else self.recipe.name
        self._progress = Progress(title, self.start, steps, headline)
        return self._progress

    # ---- checkpoints

    def saves_after(self, done: int, steps: int) -> bool:
        """Whether a checkpoint is due after ``done`` steps; the last one is saved at the end."""
        every = self.recipe.save_every
        return every > 0 and done % every == 0 and done < steps

    def evaluates_before(self, step: int) -> bool:
        """Whether an evaluation is due before a step."""
        every = self.recipe.eval_every
        return every > 0 and step % every == 0

    def save(self, step: int, **extra: Any) -> asyncio.Task[Checkpoint]:
        """Save the state after all that was handed in; ``step`` is the one to go on with."""
        name = f"step-{step:06d}"
        saving = self.training.save_state(
            name, ttl_seconds=self.recipe.keep_days * DAY_S, overwrite=True
        )
        remembered = {**extra, "tokens": self.tokens}

        async def saved() -> Checkpoint:
            return Checkpoint(name, step, (await saving).path, extra=remembered)

        return asyncio.ensure_future(saved())

    def keep(self, checkpoint: Checkpoint) -> None:
        """Go on from this checkpoint if the run is killed; the oldest beyond ``keep_last`` goes."""
        self.folder.add_checkpoint(checkpoint)
        self._kept.append(checkpoint)
        while len(self._kept) > self.recipe.keep_last:
            oldest = self._kept.pop(0)
            with suppress(errors.TinsmithError):  # the server deletes it in a few days anyway
                self._rest.delete_checkpoint_from_tinker_path(oldest.state_path)

    async def save_final(self, steps: int) -> Checkpoint:
        """Save the weights that the run ends with, for good, to train on and to sample from."""
        state = self.training.save_state(FINAL, overwrite=True)
        sampler = self.training.save_weights_for_sampler(FINAL)
        final = Checkpoint(
            FINAL, steps, (await state).path, (await sampler).path, True, {"tokens": self.tokens}
        )
        self.keep(final)
        return final

    # ---- stages

    async def once(self, name: str, compute: Callable[[], Awaitable[Any]]) -> Any:
        """What ``compute`` gives, as JSON keeps it; a run that goes on does not do it again."""
        found = await self.folder.once(name, compute)
        self._clock.keep()
        return found

    async def in_stage(
        self,
        name: str,
        train: Callable[[Run], Awaitable[dict[str, Figure]]],
        *,
        from_state: str | None = None,
    ) -> Summary:
        """Do a stage that trains an adapter of its own, in a folder of its own, once.

        Args:
            name: the stage's name, which is its folder's.
            train: trains it and gives its figures.
            from_state: the checkpoint to begin from, with a fresh optimizer; else a new adapter.
        """
        folder = RunFolder(self.folder.path / name, self.recipe.name, chz.asdict(self.recipe))
        done = folder.summary
        if done is None:
            stage = Run(
                self.recipe,
                folder,
                self.service,
                stage=name,
                from_state=from_state,
                outer=self._clock,
            )
            done = await stage.finish(train)
            self.say(f"{self.recipe.name}: {name} done, {done.steps} steps")
        self._stages.append(done)
        return done

    async def finish(self, train: Callable[[Run], Awaitable[dict[str, Figure]]]) -> Summary:
        """Train, save what came of it, and write the summary."""
        try:
            summary = await self._finish(train)
        except BaseException:
            if self._report is not None:
                self._report.fail()
            raise
        if self._report is not None:
            self._report.finish(summary.figures)
        return summary

    async def _finish(self, train: Callable[[Run], Awaitable[dict[str, Figure]]]) -> Summary:
        figures = await train(self)
        last: Checkpoint | Summary | None = self._stages[-1] if self._stages else None
        if "training" in self.__dict__:  # a recipe of stages trains nothing itself
            last = await self.save_final(self.steps_done)
        summary = Summary(
            recipe=self.recipe.name,
            figures=figures,
            seconds=self._clock.seconds,
            steps=self.steps_done + sum(stage.steps for stage in self._stages),
            tokens=self.tokens + sum(stage.tokens for stage in self._stages),
            state_path=last.state_path if last else None,
            sampler_path=last.sampler_path if last else None,
            stopped=self.stopped,
        )
        self.folder.finish(summary)
        return summary


async def execute(recipe: Recipe) -> Summary:
    """Run a recipe on the server that the environment names; see ``Recipe.run``."""
    check_wandb(recipe)
    settings = {name: value for name, value in chz.asdict(recipe).items() if name != "log_path"}
    folder = RunFolder(recipe.log_path or default_path(recipe), recipe.name, settings)
    if folder.summary is not None:
        return folder.summary
    metadata = {"recipe": recipe.name, "git_revision": _git_revision()}
    async with ServiceClient(user_metadata=metadata, display_name=recipe.name) as service:
        return await Run(recipe, folder, service).finish(recipe.train)


def default_path(recipe: Recipe) -> Path:
    """Where a recipe's files go if nothing is said: the same settings, the same folder."""
    settings = {name: value for name, value in chz.asdict(recipe).items() if name != "log_path"}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    return Path("tinsmith-runs") / f"{recipe.name}-seed{recipe.seed}-{digest}"


def _git_revision() -> str:
    """The commit of the folder we are started in, with a + if files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=10)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        revision = git("rev-parse", "HEAD")
        return revision + "+" * bool(revision and git("status", "--porcelain", "-uno"))
    except (OSError, subprocess.TimeoutExpired):
        return ""
