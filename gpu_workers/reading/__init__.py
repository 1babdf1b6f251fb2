"""Bodies of operations into work for an engine, and an engine's results into answers.

It knows no worker and no thread: `plans.py` says what an operation on a run means, `samples.py`
what a sample does; the others read what is in their bodies. Nothing here imports PyTorch.
"""
