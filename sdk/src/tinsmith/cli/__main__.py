"""``python -m tinsmith.cli``."""

from tinsmith.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
