"""The attacking programs, with how each must end. One that gets its way prints ESCAPED."""

from __future__ import annotations

from tinsmith_recipes.code_rl.sandbox import Ending

# name: (program, how it ends, a word of why). {file}, {unix}, {abstract}, {port} are outside.
HARMLESS = {
    "inet": (
        "import socket; socket.create_connection(('127.0.0.1', {port}), 5); print('ESCAPED')",
        Ending.FORBIDDEN_CALL,
        "socket",
    ),
    "unix": (
        "import socket; socket.socket(socket.AF_UNIX).connect({unix!r}); print('ESCAPED')",
        Ending.FORBIDDEN_CALL,
        "socket",
    ),
    "abstract": (
        (
            "import socket; socket.socket(socket.AF_UNIX).connect('\\0' + {abstract!r}); "
            "print('ESCAPED')"
        ),
        Ending.FORBIDDEN_CALL,
        "socket",
    ),
    "netlink": (
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW); print('ESCAPED')",
        Ending.FORBIDDEN_CALL,
        "socket",
    ),
    "passwords": ("open('/etc/passwd').read(); print('ESCAPED')", Ending.ERROR, "No such file"),
    "dots": (
        "open('/usr/lib/../../usr/../../../etc/passwd').read(); print('ESCAPED')",
        Ending.ERROR,
        "No such file",
    ),
    "secret": ("print(open({file!r}).read(), 'ESCAPED')", Ending.ERROR, "No such file"),
    "overwriting": (
        "open({file!r}, 'r+').write('ESCAPED'); print('ESCAPED')",
        Ending.ERROR,
        "No such file",
    ),
    "environment": (
        "open('/proc/self/environ', 'rb').read(); print('ESCAPED')",
        Ending.ERROR,
        "No such file",
    ),
    "memory of others": (
        "open('/proc/self/mem', 'rb'); print('ESCAPED')",
        Ending.ERROR,
        "No such file",
    ),
    "temporary file": (
        (
            "import os; open('/tmp/' + f'escaped-{{os.getpid()}}', 'x').close(); "
            "os.remove('/tmp/' + f'escaped-{{os.getpid()}}'); print('ESCAPED')"
        ),
        Ending.ERROR,
        "No such file",
    ),
    "fork": (
        "import os\nif os.fork(): os.wait(); print('ESCAPED')\nelse: os._exit(0)",
        Ending.FORBIDDEN_CALL,
        "fork",
    ),
    "vfork": (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', '']); print('ESCAPED')",
        Ending.FORBIDDEN_CALL,
        "",
    ),
    "shell": ("import os; os.system('true'); print('ESCAPED')", Ending.FORBIDDEN_CALL, "fork"),
    "exec": (
        "import os; os.execv('/bin/sh', ['sh', '-c', 'echo ESCAPED'])",
        Ending.FORBIDDEN_CALL,
        "execve",
    ),
    "signalling the parent": (
        "import os; os.kill(os.getppid() or -1, 0); print('ESCAPED')",
        Ending.FORBIDDEN_CALL,
        "kill",
    ),
    "memory file": (
        "import os; os.ftruncate(os.memfd_create('x'), 1 << 40); print('ESCAPED')",
        Ending.FORBIDDEN_CALL,
        "memfd_create",
    ),
    "shared memory": (
        (
            "from multiprocessing.shared_memory import SharedMemory\n"
            "one = SharedMemory(create=True, size=64)\none.unlink()\nprint('ESCAPED')"
        ),
        Ending.ERROR,
        "",
    ),
    "link": (
        (
            "import os; os.symlink('/etc', {file!r} + '.link'); os.remove({file!r} + '.link'); "
            "print('ESCAPED')"
        ),
        Ending.FORBIDDEN_CALL,
        "symlink",
    ),
    "priority": (
        "import os; os.nice(1); print('ESCAPED')",
        Ending.FORBIDDEN_CALL,
        "getpriority",
    ),
    "lock": (
        (
            "import fcntl, os\n"
            "with open(os.__file__) as file: fcntl.flock(file, fcntl.LOCK_EX)\nprint('ESCAPED')"
        ),
        Ending.FORBIDDEN_CALL,
        "flock",
    ),
    "raising limits": (
        (
            "import resource\n_, most = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))\nprint('ESCAPED')"
        ),
        Ending.ERROR,
        "",
    ),
    "timer": (
        "import signal; signal.setitimer(signal.ITIMER_REAL, 60); print('ESCAPED')",
        Ending.FORBIDDEN_CALL,
        "setitimer",
    ),
}


GREEDY = {
    "endless loop": ("while True: pass", Ending.OVER_TIME, "more than 1 s"),
    "a power without end": ("print(len(str(7 ** 7 ** 9)))", Ending.OVER_TIME, "more than 1 s"),
    "sleep": ("import time; time.sleep(1000)", Ending.OVER_TIME, "after 1 s"),
    "deaf to signals": (
        (
            "import signal, time\n"
            "for one in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
            "    signal.signal(one, signal.SIG_IGN)\n"
            "while True:\n"
            "    try: time.sleep(1000)\n"
            "    except BaseException: pass"
        ),
        Ending.OVER_TIME,
        "after 1 s",
    ),
    "deaf and busy": (
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        Ending.OVER_TIME,
        "more than 1 s",
    ),
    "memory": ("x = [0] * 10 ** 9", Ending.OVER_MEMORY, "256 MiB"),
    "memory, bit by bit": (
        "x = []\nwhile True: x.append(bytearray(1 << 20))",
        Ending.OVER_MEMORY,
        "256 MiB",
    ),
    "memory, mapped": (
        "import mmap\nx = []\nwhile True: x.append(mmap.mmap(-1, 1 << 24))",
        Ending.ERROR,
        "Cannot allocate memory",
    ),
    "sparse file": (
        (
            "import os\nfile = os.open('bomb', os.O_RDWR | os.O_CREAT)\n"
            "os.pwrite(file, b'x', 1 << 40)\nprint('ESCAPED')"
        ),
        Ending.ERROR,
        "Read-only file system",
    ),
    "output": ("while True: print('x' * 1000)", Ending.ERROR, "more than 65536 bytes"),
    "errors": (
        "import sys\nwhile True: sys.stderr.write('x' * 1000)",
        Ending.ERROR,
        "more than 65536 bytes",
    ),
    "fork bomb": ("import os\nwhile True: os.fork()", Ending.FORBIDDEN_CALL, "fork"),
    "recursion": ("def f(): f()\nf()", Ending.ERROR, "RecursionError"),
    "orphan": (
        "import os\nif os.fork() == 0:\n    os.setsid()\n    while True: pass",
        Ending.FORBIDDEN_CALL,
        "fork",
    ),
}
