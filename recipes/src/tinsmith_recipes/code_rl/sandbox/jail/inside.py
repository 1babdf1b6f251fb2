"""The first file that runs in a jail: a plain interpreter's start without `site`, then the program.

Its text is put into the jail; it is never imported. Tracebacks begin at the program.
"""

import builtins
import sys

builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]


def _run() -> None:
    path = sys.argv[1]
    with open(path, encoding="utf-8") as file:
        source = file.read()
    names = {"__name__": "__main__", "__builtins__": builtins, "__file__": path}
    try:
        exec(compile(source, path, "exec"), names)
    except Exception as error:
        below = error.__traceback__.tb_next if error.__traceback__ else None
        sys.excepthook(type(error), error.with_traceback(below), below)
        sys.stdout.flush()
        sys.exit(1)


_run()
