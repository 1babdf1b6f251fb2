"""Renderers: messages to tokens and loss weights, and sampled tokens back to messages.

>>> chat = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day."}]
>>> renderer = renderers.for_model("Qwen/Qwen3-8B", training.get_tokenizer())
>>> passed = training.forward_backward([renderer.example(chat).datum()], "cross_entropy")
>>> until = SamplingParams(max_tokens=20, stop=renderer.stop)
>>> drawn = sampler.sample(renderer.prompt(chat[:1]), 1, until).result()
>>> renderer.parse(drawn.sequences[0].tokens).message["role"]
'assistant'

What is sampled is what is trained: an example begins with the very tokens of the prompt, and has
weight after them. Text of messages is always encoded as text: nobody can write a control token.
"""

from tinsmith.renderers.choosing import FAMILIES, for_model, get, name_for_model
from tinsmith.renderers.renderer import Ending, Example, Parsed, Renderer
from tinsmith.renderers.train_on import TrainOnWhat

__all__ = [
    "FAMILIES",
    "Ending",
    "Example",
    "Parsed",
    "Renderer",
    "TrainOnWhat",
    "for_model",
    "get",
    "name_for_model",
]
