"""Tutorial: several learning rates side by side."""

# %% [markdown]
# # Find a learning rate
#
# A formula gives a rate to begin with ([sums and the learning
# rate](../../learning_rate.md)). If a run matters, try a few around it. Runs share
# the passes over one base model, so five runs at once take little longer than one.

# %%
from tinsmith import AdamParams, Datum, ServiceClient, renderers
from tinsmith.hyperparameters import get_lr

MODEL = "tinsmith/nano-qwen3"
RATES = [get_lr(MODEL) * factor for factor in (1 / 25, 1 / 5, 1, 5, 25)]
service = ServiceClient()
runs = [service.create_lora_training_client(MODEL, rank=16, seed=0) for _ in RATES]
renderer = renderers.for_model(MODEL, runs[0].get_tokenizer())

# %% [markdown]
# ## Data to learn from, data to choose by
#
# Choose by data that no run has seen: the highest rate that still learns by heart
# wins on what it was trained on.


# %%
def chats(words: list[str]) -> list[Datum]:
    """A word, answered by its letters with dots between."""
    made = []
    for word in words:
        question = {"role": "user", "content": f"Dot '{word}'."}
        answer = {"role": "assistant", "content": ".".join(word)}
        made.append(Datum.from_messages([question, answer], renderer))
    return made


learn = chats("kettle lamp anvil hammer tongs spoon bowl file wire hook".split())
held_out = chats("bucket ladle stove rivet solder".split())

# %% [markdown]
# ## All runs at once
#
# Everything is handed in before the first result is read.

# %%
for step in range(20):
    for run, rate in zip(runs, RATES, strict=True):
        run.forward_backward(learn, "cross_entropy")
        run.optim_step(AdamParams(learning_rate=rate * (1 - step / 20)))
losses = [run.forward(held_out, "cross_entropy") for run in runs]
found = {rate: loss.result().loss for rate, loss in zip(RATES, losses, strict=True)}
for rate, loss in found.items():
    print(f"{rate:8.1e}  held-out loss {loss:9.2f}")

# %% [markdown]
# The best is in the middle, and the price of a wrong one is not the same on both
# sides: too small is slow, too large forgets everything. When in doubt take the
# smaller of two.

# %%
best = min(found, key=found.get)
print(f"best: {best:.1e}")
assert best in RATES[1:4]
service.close()
