"""Tutorial: direct preference optimization on the server."""

# %% [markdown]
# # Preferences: DPO
#
# You have pairs: for one question an answer that people preferred, and one that they
# did not. Direct preference optimization makes the first likelier than the second,
# compared with a reference, so that the model is not torn further from where it began
# than the pairs ask for. Tinsmith computes it on the server: `loss_fn="dpo"`.
#
# ## Pairs
#
# Neighbouring datums are a pair, the chosen one first. Here people prefer to be asked
# politely.

# %%
from tinsmith import AdamParams, Datum, ServiceClient, renderers

service = ServiceClient()
training = service.create_lora_training_client("tinsmith/nano-qwen3", rank=16, seed=0)
renderer = renderers.for_model("tinsmith/nano-qwen3", training.get_tokenizer())


def pair(word: str) -> list[Datum]:
    """(chosen, rejected) for one question."""
    question = {"role": "user", "content": f"Say '{word}'."}
    answers = f"{word}, please", f"{word}"
    return [
        Datum.from_messages(
            [question, {"role": "assistant", "content": answer}], renderer
        )
        for answer in answers
    ]


learnt, held_out = [], []
for word in ("kettle", "lamp", "anvil", "hammer", "tongs", "spoon"):
    learnt += pair(word)
for word in ("bucket", "ladle", "stove"):
    held_out += pair(word)

# %% [markdown]
# ## Train
#
# No reference is given, so the server takes the base model: it computes its
# log-probabilities with the run's adapter off. `dpo_beta` says how dear it is to
# leave the reference.

# %%
for step in range(15):
    passed = training.forward_backward(learnt, "dpo", {"dpo_beta": 0.1})
    training.optim_step(AdamParams(learning_rate=2e-3))
    if step % 3 == 0:
        metrics = passed.result().metrics
        loss, margin = metrics["dpo_loss:mean"], metrics["margin:mean"]
        print(f"{step:3d}  loss {loss:.3f}  margin {margin:.3f}")

# %% [markdown]
# `dpo_loss:mean` begins at log 2 = 0.693, where the run is its reference. `margin` is
# how much more the chosen answer has gained than the rejected one; `accuracy` is the
# share of pairs where it has.
#
# ## Has it learnt the preference, or the pairs?
#
# `forward` computes the same without a gradient. Look at pairs that were not trained
# on, always.

# %%
metrics = training.forward(held_out, "dpo", {"dpo_beta": 0.1}).result().metrics
print(f"held out: {metrics['accuracy:mean']:.0%}, margin {metrics['margin:mean']:.3f}")
assert metrics["accuracy:mean"] == 1.0

# %% [markdown]
# ## What to watch
#
# - `chosen_reward` may fall while the margin grows: both answers become rarer, the
#   rejected one faster. That is how the loss is made; a smaller learning rate, fewer
#   steps or a larger `dpo_beta` helps if answers get odd.
# - A run that began with a checkpoint's weights wants that checkpoint for its
#   reference, not the base model: name it, `{"dpo_reference":
#   "tinker://…/sampler_weights/sft"}` ([losses](../../losses.md#dpo-pairs)).
# - Lengths: if chosen answers are longer throughout, length is what is learnt first.
#   Balance them.

# %%
service.close()
