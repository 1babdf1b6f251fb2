#!/usr/bin/env python3
"""Tinsmith's one entry point.

    python3 manage.py demo [--once]      run the platform and fine-tune a small model on it
    python3 manage.py up                 run the platform on this machine until Ctrl-C
    python3 manage.py test [ARGS]        ruff, mypy and pytest; ARGS go to pytest alone
    python3 manage.py COMMAND            Django's own commands

Needs Python 3.11 or newer and nothing else: it makes `.venv` beside itself, installs the project
there when its pyproject files have changed, and runs itself again inside. TINSMITH_NO_VENV=1 says
that the Python it is started with already has everything.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(HERE, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
TORCH = "torch==2.13.0"
PROJECTS = ["pyproject.toml", os.path.join("sdk", "pyproject.toml")]


def bootstrap(extra):
    """Make sure that we run in .venv with the project (and its extra, if any) installed."""
    if os.environ.get("TINSMITH_NO_VENV"):
        return
    _require_version()
    if not _is_installed(extra):
        lock = os.open(HERE, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)  # two first starts at once
        if not _is_installed(extra):
            _install(extra)
        os.close(lock)
    if os.path.realpath(sys.prefix) != os.path.realpath(VENV):
        arguments = [VENV_PYTHON, os.path.join(HERE, "manage.py"), *sys.argv[1:]]
        os.execv(VENV_PYTHON, arguments)


def _require_version():
    """Run again under a newer Python if this one is too old, or say that there is none."""
    if sys.version_info >= (3, 11):
        return
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        for minor in (13, 12, 11):
            newer = os.path.join(folder, f"python3.{minor}")
            if os.access(newer, os.X_OK):
                os.execv(newer, [newer, os.path.join(HERE, "manage.py"), *sys.argv[1:]])
    sys.exit(f"Tinsmith needs Python 3.11 or newer; this is {sys.version.split()[0]}")


def _stamp_file(extra):
    return os.path.join(VENV, "tinsmith-installed" + ("-" + extra if extra else ""))


def _stamp():
    """Names one state of the installation: what it is made from, and where."""
    digest = hashlib.sha256((HERE + TORCH).encode())
    for name in PROJECTS:
        with open(os.path.join(HERE, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def _is_installed(extra):
    try:
        with open(_stamp_file(extra)) as file:
            return file.read() == _stamp() and os.access(VENV_PYTHON, os.X_OK)
    except OSError:
        return False


def _install(extra):
    """Make .venv if there is none that works, and install into it."""
    begun = time.monotonic()
    print("Installing Tinsmith into .venv; the first time takes a few minutes.", file=sys.stderr)
    if not _works(VENV_PYTHON):
        _make_venv()
    pip = [VENV_PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
    _run("PyTorch", [*pip, TORCH])
    chosen = f"{HERE}[{extra}]" if extra else HERE
    _run("everything else", [*pip, "-e", os.path.join(HERE, "sdk"), "-e", chosen])
    # the extra contains the plain installation
    for name in {extra, ""}:
        with open(_stamp_file(name), "w") as file:
            file.write(_stamp())
    print("Installed in %.0f s." % (time.monotonic() - begun), file=sys.stderr)


def _works(python):
    try:
        command = [python, "-c", "import pip, sys; sys.exit(sys.version_info < (3, 11))"]
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def _make_venv():
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", VENV], capture_output=True, text=True
    )
    if made.returncode:
        print(made.stdout + made.stderr, file=sys.stderr)
        sys.exit("cannot make .venv (on Debian and Ubuntu: apt install python3-venv)")


def _run(what, command):
    """Run an installer, its output in .venv/install.log; show how long it has been at it."""
    log = os.path.join(VENV, "install.log")
    begun = time.monotonic()
    shown = sys.stderr.isatty()
    with open(log, "a") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            time.sleep(0.2)
            if shown:
                seconds = int(time.monotonic() - begun)
                print(f"\r  {what} … {seconds} s", end="", file=sys.stderr, flush=True)
    seconds = int(time.monotonic() - begun)
    print("\r" * shown + f"  {what}: {seconds} s   ", file=sys.stderr)
    if process.returncode:
        with open(log, errors="replace") as output:
            print("".join(output.readlines()[-25:]), file=sys.stderr)
        sys.exit(f"installing failed; the whole log is in {log}")


def run_tests(arguments):
    """ruff and mypy over everything, then pytest; with arguments, pytest alone."""
    if not arguments:
        for command in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]):
            status = subprocess.call([sys.executable, "-m", *command], cwd=HERE)
            if status:
                return status
    return subprocess.call([sys.executable, "-m", "pytest", *arguments], cwd=HERE)


def main():
    """Bootstrap, then run the command."""
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    bootstrap("dev" if command == "test" else "")
    sys.path.insert(0, HERE)
    sys.path.insert(0, os.path.join(HERE, "platform"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if command == "test":
        sys.exit(run_tests(sys.argv[2:]))
    if command in ("up", "demo"):
        from config.standalone import up

        sys.exit(getattr(up, command)(sys.argv[2:]))
    if command in ("help", "--help", "-h") and len(sys.argv) < 3:
        print(__doc__)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
