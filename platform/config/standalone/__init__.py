"""The whole platform on one machine: what `manage.py up` and `manage.py demo` do."""
