"""GPU workers: Celery processes that hold base models and do the operations of training runs.

`process/` starts a worker, keeps its lease and stops it; `log/` takes operations and writes what
came of them; `reading/` turns bodies into work and results into answers; `engines.py` says which
engine serves which model; `engine/` does the work, the only room that imports PyTorch beside
`nano/`, our own tiny models.
"""
