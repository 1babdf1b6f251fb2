"""Tutorial: many requests at once, with futures and with asyncio."""

# %% [markdown]
# # Many requests at once
#
# A server is fast when it has much to do at once: it puts the requests of everybody
# into the same passes. A program that waits for each answer before it asks the next
# question leaves it idle. Two ways to keep it busy, futures and asyncio; both are the
# same requests.

# %%
import asyncio
import time

from tinsmith import AdamParams, Datum, SamplingParams, ServiceClient, renderers

MODEL = "tinsmith/nano-qwen3"
service = ServiceClient()
sampler = service.create_sampling_client(base_model=MODEL)
renderer = renderers.for_model(MODEL, sampler.get_tokenizer())
params = SamplingParams(max_tokens=12, temperature=0.0, stop=renderer.stop)
words = ["kettle", "lamp", "hammer", "anvil"]
prompts = [
    renderer.prompt([{"role": "user", "content": f"Shout '{w}'."}]) for w in words
]


def text(drawn) -> str:
    """The first answer."""
    return renderer.parse(drawn.sequences[0].tokens).message["content"]


# %% [markdown]
# ## One after the other

# %%
begun = time.monotonic()
slow = [text(sampler.sample(prompt, 1, params).result()) for prompt in prompts]
print(f"one by one: {time.monotonic() - begun:.2f} s")

# %% [markdown]
# ## Futures
#
# Every request returns at once. Hand in all, then wait.

# %%
begun = time.monotonic()
futures = [sampler.sample(prompt, 1, params) for prompt in prompts]
fast = [text(future.result()) for future in futures]
print(f"all at once: {time.monotonic() - begun:.2f} s")
assert fast == slow

# %% [markdown]
# ## asyncio
#
# Methods have a twin that ends in `_async`. What samples can be awaited as it is;
# with `gather` a thousand episodes run side by side, each at its own pace. That is
# how an environment of several turns is written: one coroutine an episode.


# %%
async def episode(prompt) -> str:
    """Ask, and ask again with the answer in hand."""
    first = text(await sampler.sample_async(prompt, 1, params))
    again = [{"role": "user", "content": f"Say {first} in small letters."}]
    return text(await sampler.sample_async(renderer.prompt(again), 1, params))


async def play() -> list[str]:
    return await asyncio.gather(*(episode(prompt) for prompt in prompts))


small = asyncio.run(play())
print(small)
assert sum(a == b for a, b in zip(small, words, strict=True)) >= 3

# %% [markdown]
# ## Training: hand in the next step before the last is back
#
# A run's requests are done in the order they were handed in, so nothing has to be
# waited for in between. Read a result one step later and the server never waits for
# you.

# %%
training = service.create_lora_training_client(MODEL, rank=8, seed=0)
data = [
    Datum.from_tokens(sampler.get_tokenizer().encode("The tinsmith mends the kettle."))
]
under_way = []
for step in range(6):
    under_way.append(training.forward_backward(data, "cross_entropy"))
    training.optim_step(AdamParams(learning_rate=2e-3))
    if step:
        print(step - 1, under_way[step - 1].result().loss)
assert under_way[-1].result().loss < under_way[0].result().loss

# %% [markdown]
# - `tinsmith.wait_all(futures, "scoring")` waits with a progress bar.
# - A sample that nobody needs any more is stopped with `future.cancel()`, on the
#   server too.
# - There is no need to hold back: what cannot be done at once waits its turn, and
#   turns are fair between teams.

# %%
service.close()
