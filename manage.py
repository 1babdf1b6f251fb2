#!/usr/bin/env python3
"""Tinsmith's one entry point.

    python3 manage.py demo [--once]      run the platform and fine-tune a small model on it
    python3 manage.py up                 run the platform on this machine until Ctrl-C
    python3 manage.py test [ARGS]        ruff, mypy and pytest; ARGS go to pytest alone
    python3 manage.py COMMAND            Django's own commands

`COMMAND --help` says more of each. Needs Python 3.11 or newer and nothing else: it makes `.venv`
beside itself, installs there exactly what the lock files name (again when they or the pyproject
files have changed) and runs itself again inside. TINSMITH_NO_VENV=1 says that the Python it is
started with already has everything.
"""

import difflib
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(HERE, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
TORCH = "torch==2.13.0"
LOCKS = os.path.join("platform", "config", "requirements")
MADE_FROM = [
    "pyproject.toml",
    os.path.join("sdk", "pyproject.toml"),
    os.path.join("recipes", "pyproject.toml"),
    os.path.join(LOCKS, "base.txt"),
    os.path.join(LOCKS, "dev.txt"),
]
OURS = ("demo", "up", "test")
SHOW_EVERY_S = 10  # in a pipe; a terminal shows every second
MOST_PROCESSES = 4  # of tests: each may hold a platform with its models, more than 2 GiB
TEST_HELP = f"""\
usage: manage.py test [--coverage] [ARGS]

Without ARGS: ruff, mypy, then every test, in a process for each core, {MOST_PROCESSES} at most.
ARGS go to pytest alone, which runs in one process unless they say otherwise:

    manage.py test tests/platform         one folder
    manage.py test tests/sdk -k polls -x  what pytest takes: `.venv/bin/pytest --help` lists it
    manage.py test tests/contract -n 2    in two processes
    manage.py test --coverage [ARGS]      pytest, then which of our lines ran; takes much longer
"""


def bootstrap(extra):
    """Make sure that we run in .venv with the project (and its extra, if any) installed."""
    if os.environ.get("TINSMITH_NO_VENV"):
        return
    if not _is_installed(extra):
        lock = os.open(HERE, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)  # two first starts at once
        if not _is_installed(extra):
            _install(extra)
        os.close(lock)
    if os.path.realpath(sys.prefix) != os.path.realpath(VENV):
        arguments = [VENV_PYTHON, os.path.join(HERE, "manage.py"), *sys.argv[1:]]
        os.execv(VENV_PYTHON, arguments)


def require_version():
    """Run again under a newer Python if this one is too old, or say that there is none."""
    if sys.version_info >= (3, 11) or os.environ.get("TINSMITH_NO_VENV"):
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
    for name in MADE_FROM:
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
    before = signal.signal(signal.SIGTERM, _break_off)
    print("Installing Tinsmith into .venv; the first time takes a few minutes.", file=sys.stderr)
    if not _works(VENV_PYTHON):
        _make_venv()
    pip = [VENV_PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
    exact = [*pip, "--no-deps"]
    files = [os.path.join(HERE, LOCKS, name + ".txt") for name in ("base", extra) if name]
    locked = [word for file in files for word in ("-r", file)]
    _run("libraries", [*exact, "--require-hashes", *locked])
    _run("PyTorch", [*pip, TORCH])  # finds its libraries there; which build is the machine's affair
    folders = [os.path.join(HERE, "sdk"), os.path.join(HERE, "recipes"), HERE]
    ours = [word for folder in folders for word in ("-e", folder)]
    _run("Tinsmith itself", [*exact, "--no-build-isolation", *ours])
    # the extra contains the plain installation
    for name in {extra, ""}:
        with open(_stamp_file(name), "w") as file:
            file.write(_stamp())
    signal.signal(signal.SIGTERM, before)
    print("Installed in %.0f s." % (time.monotonic() - begun), file=sys.stderr)


def _break_off(number, frame):
    raise KeyboardInterrupt  # as Ctrl-C: the installer that runs is ended, too


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
    said = 0
    shown = sys.stderr.isatty()
    with open(log, "a") as output:
        # a signal in the middle of starting would leave an installer that nobody ends
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before),
        )
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            while process.poll() is None:
                time.sleep(0.2)
                seconds = int(time.monotonic() - begun)
                if shown:
                    print(f"\r  {what} … {seconds} s", end="", file=sys.stderr, flush=True)
                elif seconds >= said + SHOW_EVERY_S:
                    said = seconds
                    print(f"  {what} … {seconds} s", file=sys.stderr, flush=True)
        except BaseException:
            process.terminate()
            process.wait()
            raise
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
        arguments = _in_processes(_usable_cores())
    if "--coverage" in arguments:
        return _measure_coverage([word for word in arguments if word != "--coverage"])
    return _become(["pytest", *arguments])


def _in_processes(cores):
    """What tells pytest to use these cores; one process needs no other to tell it what to do."""
    processes = min(cores, MOST_PROCESSES)
    return ["-n", str(processes)] if processes > 1 else []


def _usable_cores():
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _become(module):
    """Run a module in our place: what signals us then lets it end what it has started."""
    sys.stdout.flush()
    os.chdir(HERE)
    os.execv(sys.executable, [sys.executable, "-m", *module])


def _measure_coverage(arguments):
    """pytest with all processes that it starts measured, then the report; pytest's status."""
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.call([*coverage, "erase"], cwd=HERE)
    status = subprocess.call([*coverage, "run", "-m", "pytest", *arguments], cwd=HERE)
    subprocess.call([*coverage, "combine", "--quiet"], cwd=HERE)
    subprocess.call([*coverage, "report", "--skip-covered"], cwd=HERE)
    return status


def show_help():
    """Our commands, then the others' names where there is an environment that knows them."""
    print(__doc__)
    if os.environ.get("TINSMITH_NO_VENV") or _is_installed("") or _is_installed("dev"):
        bootstrap("" if _is_installed("") else "dev")
        use_checkout()
        from config import commands

        print(commands.describe())
    else:
        print("Nothing is installed yet; afterwards this lists the other commands, too.")


def use_checkout():
    """Let our packages be imported from here."""
    sys.path.insert(0, HERE)
    sys.path.insert(0, os.path.join(HERE, "platform"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def main():
    """Run the command, installing first what it needs; help and mistakes need nothing."""
    arguments = sys.argv[1:] or ["help"]
    if arguments[0] == "help" and arguments[1:2] and arguments[1] in OURS:
        arguments = [arguments[1], "--help"]
    command, rest = arguments[0], arguments[1:]
    require_version()
    near = difflib.get_close_matches(command, OURS, 1)
    if near and command not in OURS:
        sys.exit(f"manage.py: there is no command {command!r}; did you mean {near[0]}?")
    if command in ("help", "--help", "-h") and not rest:
        show_help()
    elif command == "test" and {"--help", "-h"} & set(rest):
        print(TEST_HELP)
    elif command == "test":
        bootstrap("dev")
        sys.exit(run_tests(rest))
    elif command in ("up", "demo"):
        use_checkout()
        from config.standalone import options

        chosen = options.read(command, rest)
        bootstrap("")
        from config.standalone import up

        sys.exit(up.run(command, chosen))
    else:
        bootstrap("")
        use_checkout()
        from config import commands

        commands.execute(sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\nbroken off", file=sys.stderr)
        sys.exit(130)
