"""Tutorial: a model that scores answers, from pairs."""

# %% [markdown]
# # A reward model
#
# Where no program can tell how good an answer is, people can tell which of two is
# better. A reward model learns from such pairs to score single answers, and its score
# can then be the reward of an RL run. `loss_fn="bradley_terry"` trains one,
# `sampler.score` reads it.
#
# ## Pairs
#
# The better answer comes first. Here people prefer the word with a kind word before
# it.

# %%
from tinsmith import AdamParams, Datum, ServiceClient, renderers

service = ServiceClient()
training = service.create_lora_training_client("tinsmith/nano-qwen3", rank=16, seed=0)
tokenizer = training.get_tokenizer()
renderer = renderers.for_model("tinsmith/nano-qwen3", tokenizer)


def prompt(word: str):
    """The question."""
    return renderer.prompt([{"role": "user", "content": f"Bring me the {word}."}])


def tokens(answer: str) -> list[int]:
    """An answer with its end."""
    return [*tokenizer.encode(answer, add_special_tokens=False), *renderer.stop]


data = []
for word in ("kettle", "lamp", "anvil", "hammer", "tongs", "spoon", "bowl", "file"):
    data.append(Datum.for_score(prompt(word), tokens(f"Gladly, the {word}.")))
    data.append(Datum.for_score(prompt(word), tokens(f"There, the {word}.")))

# %% [markdown]
# ## Train
#
# `bradley_terry_loss` begins near log 2 = 0.693, where both answers score the same.

# %%
for step in range(20):
    passed = training.forward_backward(data, "bradley_terry")
    training.optim_step(AdamParams(learning_rate=2e-3))
    if step % 4 == 0:
        metrics = passed.result().metrics
        loss, margin = metrics["bradley_terry_loss:mean"], metrics["margin:mean"]
        print(f"{step:3d}  loss {loss:.3f}  margin {margin:.2f}")

# %% [markdown]
# ## Score
#
# A score is one number of any sign. Only differences between answers to one prompt
# mean something. The words below were in no pair.

# %%
judge = training.save_weights_and_get_sampling_client()
right = 0
for word in ("bucket", "ladle", "stove"):
    kind = judge.score(prompt(word), tokens(f"Gladly, the {word}.")).result()
    curt = judge.score(prompt(word), tokens(f"There, the {word}.")).result()
    print(f"{word:8} kind {kind:6.2f}  curt {curt:6.2f}")
    right += kind > curt
assert right == 3

# %% [markdown]
# As a reward it goes into [the loop of RL](rl_from_scratch.py) in place of a
# function, from a run of its own beside the one that learns. Keep a penalty to a
# reference then: a reward model can be fooled, and RL finds out how ([why
# KL](../why_kl.md)). The whole pipeline is the recipe `preference.rlhf` ([which
# recipe](../which_recipe.md)).

# %%
service.close()
