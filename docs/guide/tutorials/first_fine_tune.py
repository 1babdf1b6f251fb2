"""Tutorial: teach a model from a file of chats."""

# %% [markdown]
# # Your first fine-tune
#
# Seven lines turn a file of chats into a model that has learnt them. The model here
# is a nano model that every Tinsmith server has, so this takes seconds; on a server
# with larger ones the same lines train those.
#
# ## A file of chats
#
# One conversation a line, in the form that most data sets have: `messages` with a
# `role` and a `content`.

# %%
import json

METALS = {"kettle": "copper", "lantern": "brass", "cup": "tin", "knife": "steel"}
with open("chat.jsonl", "w") as file:
    for thing, metal in METALS.items():
        question = {"role": "user", "content": f"What is a {thing} made of?"}
        answer = {"role": "assistant", "content": metal}
        print(json.dumps({"messages": [question, answer]}), file=file)

# %% [markdown]
# ## Train
#
# `ServiceClient()` finds the server and the key in `TINSMITH_BASE_URL` and
# `TINSMITH_API_KEY`, or where `tinsmith login` has put them.

# %%
from tinsmith import AdamParams, Datum, ServiceClient, renderers
from tinsmith.data import load_chats

service = ServiceClient()

# %%
training = service.create_lora_training_client("tinsmith/nano-qwen3", rank=16, seed=0)
renderer = renderers.for_model("tinsmith/nano-qwen3", training.get_tokenizer())
data = [Datum.from_messages(chat, renderer) for chat in load_chats("chat.jsonl")]
for _ in range(30):
    passed = training.forward_backward(data, "cross_entropy")
    training.optim_step(AdamParams(learning_rate=5e-3))
sampler = training.save_weights_and_get_sampling_client()

# %% [markdown]
# - `load_chats` reads `.jsonl`, `.parquet` and data sets of the hub, and names file,
#   line and reason where a row is no chat:
#   [data](../../renderers.md#chats-from-files).
# - The **renderer** writes a chat the way the model's family does, and gives weight
#   to the assistant's last message only: [what a renderer does](../rendering.md).
# - `forward_backward` adds up a gradient, `optim_step` uses it. Both return
#   **futures** at once, so the loop above hands in all its steps without waiting.
#   They are done in this order.
# - The loss is a **sum** over tokens: [sums and the learning
#   rate](../../learning_rate.md).
#
# ## Look at the loss
#
# A future's `.result()` waits. This is the last step's; divided by the tokens that
# have weight, it is the loss of a token.

# %%
trained = sum(datum.loss_fn_inputs["weights"].to_numpy().sum() for datum in data)
print(f"loss a token: {passed.result().loss / trained:.4f}")
assert passed.result().loss / trained < 0.1

# %% [markdown]
# ## Ask
#
# The sampler answers from the weights as they were at its place in the order.
# `renderer.stop` ends a turn where the family ends it, and `renderer.parse` makes a
# message of the tokens again.

# %%
from tinsmith import SamplingParams

prompt = renderer.prompt([{"role": "user", "content": "What is a kettle made of?"}])
params = SamplingParams(max_tokens=16, temperature=0.0, stop=renderer.stop)
drawn = sampler.sample(prompt, num_samples=1, sampling_params=params).result()
answer = renderer.parse(drawn.sequences[0].tokens).message["content"]
print(answer)
assert answer == "copper"

# %% [markdown]
# ## Let go
#
# Closing frees the run's place for others. Its weights go with it unless they were
# saved: [save, resume, download](save_resume_download.py).

# %%
service.close()
