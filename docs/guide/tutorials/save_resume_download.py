"""Tutorial: keep weights, go on from them, take them home."""

# %% [markdown]
# # Save, resume, download
#
# A run lives as long as its session. What is to stay is saved as a checkpoint, of
# which there are two kinds for daily use: one to **train on** from (`save_state`:
# weights and the optimizer's state), one to **sample** from
# (`save_weights_for_sampler`: weights alone).

# %%
from tinsmith import AdamParams, Datum, ModelInput, SamplingParams, ServiceClient

MODEL = "tinsmith/nano-qwen3"


def steps(training, count: int) -> list[float]:
    """Take some steps on one text; returns their losses."""
    tokens = training.get_tokenizer().encode("The tinsmith mends the kettle.")
    data = [Datum.from_tokens(tokens)]
    passes = []
    for _ in range(count):
        passes.append(training.forward_backward(data, "cross_entropy"))
        training.optim_step(AdamParams(learning_rate=1e-3))
    return [passed.result().loss for passed in passes]


# %% [markdown]
# ## Save
#
# A save has a place in the order like a step: it holds the weights after the steps
# that were handed in before it. `ttl_seconds` lets a checkpoint expire,
# `overwrite=True` replaces one of the same name.

# %%
with ServiceClient() as service:
    training = service.create_lora_training_client(MODEL, rank=8, seed=3)
    steps(training, 5)
    kept = training.save_state("step-5", ttl_seconds=24 * 3600).result().path
    final = training.save_weights_for_sampler("final").result().path
    undisturbed = steps(training, 5)
print(kept)

# %% [markdown]
# The session is closed now, and the run with it. Its checkpoints are still there.
#
# ## Resume
#
# A new run begins with the checkpoint's weights **and optimizer**, and takes the
# steps that the first one took after the save. On the CPU the losses are the same to
# the last bit.

# %%
service = ServiceClient()
training = service.create_training_client_from_state_with_optimizer(kept)
resumed = steps(training, 5)
print(undisturbed)
print(resumed)
assert resumed == undisturbed

# %% [markdown]
# `create_training_client_from_state` takes the weights alone, with a fresh optimizer:
# for another data set or another loss. What else your loop needs to go on (the step,
# the place in the data, seeds) is yours to keep: [how resuming
# works](../resuming.md).
#
# ## Sample from it
#
# Any process with a key of your team can.

# %%
sampler = service.create_sampling_client(model_path=final)
prompt = ModelInput.from_ints(sampler.get_tokenizer().encode("The tinsmith"))
params = SamplingParams(max_tokens=12, temperature=0.0)
drawn = sampler.sample(prompt, 1, params).result()
print(sampler.get_tokenizer().decode(drawn.sequences[0].tokens))

# %% [markdown]
# ## Download
#
# What comes is a folder in PEFT's form, which PEFT, vLLM and others load as it is.

# %%
rest = service.create_rest_client()
folder = rest.download_checkpoint(final, "adapter")
print(sorted(file.name for file in folder.iterdir()))
assert (folder / "adapter_config.json").exists()

# %% [markdown]
# The same on the command line, where the beginning of an id is enough:
#
# ```sh
# tinsmith checkpoints list
# tinsmith checkpoints download tinker://<run>/sampler_weights/final --output adapter
# ```
#
# ## Clear up

# %%
for path in (kept, final):
    rest.delete_checkpoint_from_tinker_path(path).result()
service.close()
