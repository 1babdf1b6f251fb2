"""Sampling from the base model and from frozen versions of its runs.

`validate` needs numpy only; `local.LocalSampler` is the sampler that runs on the trainer's modules.
"""
