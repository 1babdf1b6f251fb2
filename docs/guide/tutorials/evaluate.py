"""Tutorial: whether training helped, and what it cost."""

# %% [markdown]
# # Did it help?
#
# The loss on what was trained falls in any case. Whether a model is better shows on
# what it has not seen, beside the model it was before, and with an idea of how sure
# the number is. Three measures are enough for most: the loss of held-out answers, the
# share that is right, and the same share on something it could do before.
#
# ## A task
#
# The model learns to say a word with its letters doubled: `cup` becomes `ccuupp`.
# Half of the words are kept aside. Turning words to capitals is what it can do
# already.

# %%
from math import sqrt

from tinsmith import AdamParams, Datum, SamplingParams, ServiceClient, renderers

MODEL = "tinsmith/nano-qwen3"
LEARN = (
    "cup pan pot tin lid jar can bowl fork lamp nail bolt file wire rod hook".split()
)
HELD_OUT = "mug dish vise gear tube pin rim saw axe tap ring disk".split()


def doubled(word: str) -> list[dict[str, str]]:
    """The new task, with its answer."""
    answer = "".join(letter * 2 for letter in word)
    return [
        {"role": "user", "content": f"Double '{word}'."},
        {"role": "assistant", "content": answer},
    ]


def shouted(word: str) -> list[dict[str, str]]:
    """What the model could do before."""
    return [
        {"role": "user", "content": f"Shout '{word}'."},
        {"role": "assistant", "content": word.upper()},
    ]


service = ServiceClient()
training = service.create_lora_training_client(MODEL, rank=16, seed=0)
renderer = renderers.for_model(MODEL, training.get_tokenizer())

# %% [markdown]
# ## Three measures
#
# `forward` is a pass without a gradient: the loss of answers that are given. The
# share of right answers comes with the half-width of its 95 % interval (Wilson's,
# which is honest for few questions and for shares near 0 and 1).


# %%
def loss_a_token(chats) -> float:
    """How surprised the model is by the right answers, in nats a token."""
    data = [Datum.from_messages(chat, renderer) for chat in chats]
    tokens = sum(datum.loss_fn_inputs["weights"].to_numpy().sum() for datum in data)
    return training.forward(data, "cross_entropy").result().loss / tokens


def right(sampler, chats) -> tuple[float, float]:
    """(share of right answers, half the width of its interval)."""
    params = SamplingParams(max_tokens=20, temperature=0.0, stop=renderer.stop)
    futures = [sampler.sample(renderer.prompt(chat[:-1]), 1, params) for chat in chats]
    hits = 0
    for chat, future in zip(chats, futures, strict=True):
        parsed = renderer.parse(future.result().sequences[0].tokens)
        hits += parsed.message["content"] == chat[-1]["content"]
    share, n, z = hits / len(chats), len(chats), 1.96
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return share, half


def measure(title: str) -> tuple[float, float]:
    """Print all three; returns the shares of the new task and the old one."""
    sampler = training.save_weights_and_get_sampling_client()
    new, new_half = right(sampler, [doubled(word) for word in HELD_OUT])
    old, old_half = right(sampler, [shouted(word) for word in HELD_OUT])
    loss = loss_a_token([doubled(word) for word in HELD_OUT])
    print(f"{title:7} loss {loss:.3f}  new {new:.0%} ± {new_half:.0%}", end="")
    print(f"  old {old:.0%} ± {old_half:.0%}")
    return new, old


before = measure("before")

# %% [markdown]
# ## Train, and measure again
#
# A quarter of each batch is the old task. Leave it out and watch the last column.

# %%
chats = [doubled(word) for word in LEARN] + [shouted(word) for word in LEARN[:5]]
data = [Datum.from_messages(chat, renderer) for chat in chats]
for step in range(40):
    training.forward_backward(data, "cross_entropy")
    training.optim_step(AdamParams(learning_rate=4e-3 * (1 - step / 40)))
after = measure("after")
assert after[0] > before[0]

# %% [markdown]
# With twelve questions an interval is wide: that is the honest answer, and the reason
# to keep a few hundred aside. `tinsmith eval` does all of this for checkpoints:
# against their base, on your file or on data sets of the hub, with paired tests and a
# set of general tasks ([using
# recipes](../../../recipes/README.md#is-it-better-than-before)).

# %%
service.close()
