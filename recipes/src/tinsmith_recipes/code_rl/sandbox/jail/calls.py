"""The numbers of Linux system calls, and those that a jailed program may make.

Each is written `name:x86_64:aarch64`, from the kernel's `asm/unistd_64.h` and
`asm-generic/unistd.h`; `-` where an architecture does not have it.
"""

from __future__ import annotations

import platform

# Reading, memory, threads, time and leaving: what an interpreter needs to compute.
_ALLOWED = """
read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 close:3:57 fstat:5:80
newfstatat:262:79 stat:4:- lstat:6:- statx:332:291 lseek:8:62 open:2:- openat:257:56 access:21:-
faccessat:269:48 faccessat2:439:439 readlink:89:- readlinkat:267:78 getdents64:217:61 getcwd:79:17
dup:32:23 dup2:33:- dup3:292:24 poll:7:- ppoll:271:73 select:23:- pselect6:270:72
brk:12:214 mmap:9:222 mprotect:10:226 munmap:11:215 mremap:25:216 madvise:28:233 futex:202:98
sched_yield:24:124 sched_getaffinity:204:123 set_robust_list:273:99 set_tid_address:218:96
rseq:334:293 gettid:186:178 getpid:39:172 getppid:110:173 tgkill:234:131 rt_sigaction:13:134
rt_sigprocmask:14:135 rt_sigreturn:15:139 sigaltstack:131:132 restart_syscall:219:128
nanosleep:35:101 clock_nanosleep:230:115 clock_gettime:228:113 clock_getres:229:114
gettimeofday:96:169 time:201:- times:100:153 getrusage:98:165 getrlimit:97:163 sysinfo:99:179
uname:63:160 getuid:102:174 geteuid:107:175 getgid:104:176 getegid:108:177
getrandom:318:278 arch_prctl:158:- exit:60:93 exit_group:231:94
"""

# Allowed for some of their arguments, or answered with an error (`rules.py`).
_JUDGED = """
clone:56:220 clone3:435:435 epoll_create1:291:20 fcntl:72:25 ioctl:16:29 prctl:157:167
prlimit64:302:261 execve:59:221
"""

# Refused as everything else is; here to be called by their names.
_NAMED = """
socket:41:198 socketpair:53:199 connect:42:203 bind:49:200 sendto:44:206 fork:57:- vfork:58:-
execveat:322:281 kill:62:129 tkill:200:130 ptrace:101:117 process_vm_readv:310:270
process_vm_writev:311:271 mount:165:40 umount2:166:39 move_mount:429:429 open_tree:428:428
fsopen:430:430 mount_setattr:442:442 unshare:272:97 setns:308:268 pivot_root:155:41 chroot:161:51
setuid:105:146 setgid:106:144 setreuid:113:145 setregid:114:143 setresuid:117:147
setresgid:119:149 setgroups:116:159 capset:126:91 seccomp:317:277 bpf:321:280
perf_event_open:298:241 userfaultfd:323:282 keyctl:250:219 add_key:248:217 request_key:249:218
io_uring_setup:425:425 io_uring_enter:426:426 memfd_create:319:279 memfd_secret:447:447
pidfd_open:434:434 pidfd_getfd:438:438 pidfd_send_signal:424:424 name_to_handle_at:303:264
open_by_handle_at:304:265 truncate:76:45 ftruncate:77:46 fallocate:285:47 mkdir:83:-
mkdirat:258:34 rmdir:84:- unlink:87:- unlinkat:263:35 rename:82:- renameat:264:38
renameat2:316:276 link:86:- linkat:265:37 symlink:88:- symlinkat:266:36 chmod:90:- fchmod:91:52
fchmodat:268:53 chown:92:- fchown:93:55 fchownat:260:54 mknod:133:- mknodat:259:33
utimensat:280:88 pipe:22:- pipe2:293:59 eventfd2:290:19 inotify_init1:294:26
timerfd_create:283:85 signalfd4:289:74 shmget:29:194 msgget:68:186 semget:64:190 mq_open:240:180
sethostname:170:161 setpriority:141:140 setrlimit:160:164 sched_setscheduler:144:119
sched_setaffinity:203:122 init_module:175:105 finit_module:313:273 kexec_load:246:104
reboot:169:142 swapon:167:224 quotactl:179:60 acct:163:89 syslog:103:116 personality:135:92
modify_ldt:154:- iopl:172:- ioperm:173:- vmsplice:278:75 splice:275:76 tee:276:77 sendfile:40:71
copy_file_range:326:285 landlock_create_ruleset:444:444 setsid:112:157 setpgid:109:154 alarm:37:-
setitimer:38:103 getitimer:36:102 timer_create:222:107 openat2:437:437 close_range:436:436
statfs:137:43 fstatfs:138:44 getpgrp:111:- getpgid:121:155 getsid:124:156 fadvise64:221:223
chdir:80:49 fchdir:81:50 getpriority:140:141 flock:73:32 wait4:61:260 listen:50:201
accept:43:202 accept4:288:242 sendmsg:46:211 recvmsg:47:212 recvfrom:45:207 epoll_ctl:233:21
epoll_pwait:281:22 fsync:74:82 sync:162:81 pwrite64:18:68 mlock:149:228 msync:26:227
mincore:27:232 membarrier:324:283 getcpu:309:168 creat:85:- utime:132:-
"""

AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINE = platform.machine()


def _table(text: str, column: int) -> dict[str, int]:
    rows = [row.split(":") for row in text.split()]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def allowed(machine: str) -> dict[str, int]:
    """Name to number of the calls that are always allowed."""
    return _table(_ALLOWED, 1 + list(AUDIT).index(machine))


def numbers(machine: str) -> dict[str, int]:
    """Name to number of every call that is known by name."""
    return _table(_ALLOWED + _JUDGED + _NAMED, 1 + list(AUDIT).index(machine))


def name(architecture: int, number: int) -> str:
    """What a call is called in a report, for an audit architecture and a number."""
    if architecture != AUDIT[MACHINE]:
        return f"system call {number} of another architecture"
    if number & 0x40000000:
        return f"system call {number & ~0x40000000} of the x32 interface"
    names = {value: key for key, value in numbers(MACHINE).items()}
    names[numbers(MACHINE)["clone"]] = "fork"  # threads are made with it, too, and are allowed
    return names.get(number, f"system call {number}")
