"""Tutorial: a loss of one's own, in PyTorch, on one's own machine."""

# %% [markdown]
# # A loss of your own
#
# The server has [nine losses](../../losses.md). Whatever else you can write in
# PyTorch as a function of the targets' log-probabilities runs on your machine,
# exactly: `forward_backward_custom` has the server compute the log-probabilities,
# calls your function, and sends its gradient back. It costs one forward pass more.
# Your environment needs PyTorch for this, the CPU build will do.
#
# The example is *unlikelihood training*: make one answer likelier and another one
# rarer, each by itself. No pairs, no reference model.

# %%
import torch

from tinsmith import AdamParams, Datum, ServiceClient, renderers

service = ServiceClient()
training = service.create_lora_training_client("tinsmith/nano-qwen3", rank=16, seed=0)
renderer = renderers.for_model("tinsmith/nano-qwen3", training.get_tokenizer())


def chat(answer: str) -> Datum:
    """The question with an answer; weight 1 on the answer's tokens."""
    question = {"role": "user", "content": "Shout 'kettle'."}
    return Datum.from_messages(
        [question, {"role": "assistant", "content": answer}], renderer
    )


data = [chat("Kettle, please!"), chat("KETTLE")]  # wanted, unwanted

# %% [markdown]
# ## The loss
#
# The function is given the data as you passed it, and one tensor of log-probabilities
# a datum, of the length of its targets. It returns a scalar, and numbers that you
# want to see again. Positions of the prompt have weight 0: multiply, and they do not
# count.


# %%
def unlikelihood(data: list[Datum], logprobs: list[torch.Tensor]):
    weights = [datum.loss_fn_inputs["weights"].to_torch() for datum in data]
    wanted, unwanted = (p * w for p, w in zip(logprobs, weights, strict=True))
    rest = torch.log1p(-unwanted.exp().clamp(max=1 - 1e-6)) * weights[1]
    loss = -wanted.sum() - rest.sum()
    return loss, {"wanted": wanted.sum().item(), "unwanted": unwanted.sum().item()}


for step in range(12):
    passed = training.forward_backward_custom(data, unlikelihood)
    training.optim_step(AdamParams(learning_rate=5e-3))
    metrics = passed.result().metrics
    wanted, unwanted = metrics["wanted"], metrics["unwanted"]
    print(f"{step:3d}  wanted {wanted:7.2f}  unwanted {unwanted:7.2f}")

assert wanted > unwanted

# %% [markdown]
# ## The same numbers as the server's
#
# A custom loss is no approximation. Cross-entropy, written by hand, gives the loss
# that the server computes:


# %%
def by_hand(data: list[Datum], logprobs: list[torch.Tensor]):
    weights = [datum.loss_fn_inputs["weights"].to_torch() for datum in data]
    return -sum((p * w).sum() for p, w in zip(logprobs, weights, strict=True)), {}


ours = training.forward_backward_custom(data, by_hand).result().loss
theirs = training.forward(data, "cross_entropy").result().loss
print(ours, theirs)
assert abs(ours - theirs) < 1e-4

# %% [markdown]
# - Losses of whole batches work (contrastive, pairs, groups): your function sees all
#   of it.
# - Values must depend on the log-probabilities; what does not is an error that says
#   so.
# - Where a loss is on the server already, use that one: it spares the second pass and
#   needs no PyTorch.

# %%
service.close()
