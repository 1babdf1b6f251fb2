"""GPU workers: Celery processes that hold base models and do the operations of training runs."""
