"""``python -m tinsmith.cli``."""

from tinsmith.cli.main import main

raise SystemExit(main())
