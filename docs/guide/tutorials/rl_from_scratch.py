"""Tutorial: reinforcement learning with nothing but the SDK."""

# %% [markdown]
# # Reinforcement learning from scratch
#
# The model answers, your function says how good each answer was, and answers that
# were better than the others to the same question become likelier. The whole loop is
# 20 lines, with no library but the SDK.
#
# ## The environment
#
# The task is small so that it takes seconds: whatever is asked for, name it in
# exactly four letters. A reward is any Python function of a text. Some questions are
# kept aside to test with.

# %%
THINGS = ["tool", "bird", "tree", "metal", "fruit", "river", "fish", "coin", "dance"]
HELD_OUT = ["house", "game", "sound", "city"]


def question(thing: str) -> list[dict[str, str]]:
    """What the model is asked."""
    return [{"role": "user", "content": f"Name a {thing}."}]


def reward(answer: str) -> float:
    """1 for four small letters, else 0."""
    return float(len(answer) == 4 and answer.isalpha() and answer.islower())


# %% [markdown]
# ## The run

# %%
import random
from statistics import mean

from tinsmith import AdamParams, Datum, SamplingParams, ServiceClient, renderers

service = ServiceClient()
training = service.create_lora_training_client("tinsmith/nano-qwen3", rank=16, seed=0)
renderer = renderers.for_model("tinsmith/nano-qwen3", training.get_tokenizer())

# %% [markdown]
# `rollouts` draws a group of answers to every question from the weights as they are
# now, and says how good each was. All questions are asked before the first answer is
# waited for, so the server draws all answers together.


# %%
def rollouts(things: list[str], count: int, seed: int):
    """(prompt, sequences, their rewards) for every thing."""
    sampler = training.save_weights_and_get_sampling_client()
    params = SamplingParams(max_tokens=12, seed=seed, stop=renderer.stop)
    prompts = [renderer.prompt(question(thing)) for thing in things]
    futures = [sampler.sample(prompt, count, params) for prompt in prompts]
    for prompt, future in zip(prompts, futures, strict=True):
        drawn = future.result().sequences
        answers = [renderer.parse(one.tokens).message["content"] for one in drawn]
        yield prompt, drawn, [reward(answer) for answer in answers]


def score() -> float:
    """The mean reward on the questions that are not trained on."""
    return mean(mean(rewards) for *_, rewards in rollouts(HELD_OUT, 16, seed=0))


before = score()

# %% [markdown]
# ## The loop
#
# An answer's **advantage** is its reward less the mean of its group. A datum is the
# prompt and the answer in one sequence; `logprobs` and `advantages` are **zero where
# the prompt is predicted**, because nothing was sampled there: [the data of
# RL](../rl_data.md).

# %%
for step in range(12):
    data, seen = [], []
    things = random.Random(step).sample(THINGS, 8)
    for prompt, drawn, rewards in rollouts(things, count=8, seed=step):
        seen += rewards
        zeros = [0.0] * (prompt.length - 1)
        for sequence, own in zip(drawn, rewards, strict=True):
            advantage = own - mean(rewards)
            if advantage:  # a group of equals teaches nothing
                datum = Datum.from_tokens(
                    [*prompt.to_ints(), *sequence.tokens],
                    logprobs=[*zeros, *sequence.logprobs],
                    advantages=[*zeros, *[advantage] * len(sequence.tokens)],
                )
                data.append(datum)
    if data:
        passed = training.forward_backward(data, "importance_sampling")
        training.optim_step(AdamParams(learning_rate=4e-3))
        kl = passed.result().metrics["kl_sample_train_v2:mean"]
        print(f"{step:3d}  reward {mean(seen):.2f}  {len(data)} answers  KL {kl:.0e}")

# %% [markdown]
# ## Before and after

# %%
after = score()
print(f"held out: {before:.0%} → {after:.0%}")
assert after > 0.8 > before

# %% [markdown]
# ## What to look at
#
# - **`kl_sample_train`** is how far the model that learns is from the one that
#   sampled. Here it is 0 but for rounding, as it has to be on-policy. Above 0.01
#   something is wrong: [why KL](../why_kl.md).
# - **Answers, always.** The reward above does not ask for words, so in the end some
#   are none. What you reward is what you get; a penalty to a reference keeps the rest
#   in place.
# - **Groups of equals.** When all groups are alike, good or bad, there is nothing to
#   learn from: make questions harder, or easier.
# - `training.log({"reward": …}, step)` and `training.log_rollouts([…])` keep your
#   numbers and answers with the run on the server; neither needs to be waited for.

# %%
service.close()
