"""Tutorial: draw from a model, and ask how likely texts are to it."""

# %% [markdown]
# # Sample and score
#
# A `SamplingClient` does two things: it draws tokens, and it tells how likely given
# tokens are. Evaluations, rewards, distillation and best-of-n are made of these two.

# %%
from tinsmith import ModelInput, SamplingParams, ServiceClient, renderers

service = ServiceClient()
sampler = service.create_sampling_client(base_model="tinsmith/nano-qwen3")
tokenizer = sampler.get_tokenizer()
renderer = renderers.for_model("tinsmith/nano-qwen3", tokenizer)
question = {"role": "user", "content": "Replace 's' with 'h' in 'speak'."}
prompt = renderer.prompt([question])

# %% [markdown]
# ## One answer, the likeliest
#
# At temperature 0 every token is the likeliest one, so the answer is the same each
# time.

# %%
greedy = SamplingParams(max_tokens=16, temperature=0.0, stop=renderer.stop)
sequence = sampler.sample(prompt, 1, greedy).result().sequences[0]
print(renderer.parse(sequence.tokens).message["content"], sequence.stop_reason)
assert sequence.stop_reason == "stop"

# %% [markdown]
# ## Many answers
#
# `num_samples` answers share the work on the prompt. With a `seed` they are the same
# tomorrow, and still differ from each other. Every sequence has the log-probability
# of each of its tokens, which is what RL needs: [the data of RL](../rl_data.md).

# %%
params = SamplingParams(max_tokens=16, temperature=1.0, seed=7, stop=renderer.stop)
drawn = sampler.sample(prompt, 8, params).result()
for sequence in drawn.sequences:
    text = renderer.parse(sequence.tokens).message["content"]
    print(f"{sum(sequence.logprobs):8.3f}  {text}")

again = sampler.sample(prompt, 8, params).result()
assert [one.tokens for one in again.sequences] == [
    one.tokens for one in drawn.sequences
]

# %% [markdown]
# ## How likely is this?
#
# `compute_logprobs` gives the log-probability of every token of a text after those
# before it. The first has none. Summed over an answer it tells which of two answers
# the model prefers.


# %%
def likelihood(answer: str) -> float:
    """The log-probability of a whole answer to the prompt, its end included."""
    tokens = [
        *tokenizer.encode(answer, add_special_tokens=False),
        tokenizer.eos_token_id,
    ]
    whole = ModelInput.from_ints(prompt.to_ints() + tokens)
    return sum(sampler.compute_logprobs(whole).result()[-len(tokens) :])


right, wrong = likelihood("hpeak"), likelihood("speak")
print(f"hpeak {right:.2f}, speak {wrong:.2f}")
assert right > wrong

# %% [markdown]
# ## What else could have come
#
# `topk_sample_logprobs` names the likeliest tokens at every place,
# `topk_prompt_logprobs` the same in the prompt.

# %%
drawn = sampler.sample(prompt, 1, greedy, topk_sample_logprobs=3).result()
sequence = drawn.sequences[0]
for token, others in zip(sequence.tokens, sequence.topk_logprobs, strict=True):
    shown = [
        f"{tokenizer.decode([other])!r} {logprob:.2f}" for other, logprob in others
    ]
    print(f"{tokenizer.decode([token])!r:14} of {', '.join(shown)}")
    assert others[0][0] == token

# %% [markdown]
# ## Many at once
#
# Requests are futures: hand in all of them before you wait for the first. The server
# draws them together.

# %%
futures = []
for word in ("kettle", "lamp", "hammer", "anvil"):
    question = [{"role": "user", "content": f"Shout '{word}'."}]
    futures.append(sampler.sample(renderer.prompt(question), 1, greedy))
answers = []
for future in futures:
    parsed = renderer.parse(future.result().sequences[0].tokens)
    answers.append(parsed.message["content"])
print(answers)
assert "KETTLE" in answers
service.close()
