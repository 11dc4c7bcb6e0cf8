"""A seccomp filter: system calls by which a process could reach past its namespaces and Landlock, refused by number or by an argument.

What is refused: sockets of any family but IPv4 and IPv6 (Unix sockets reach daemons, vsock the host of a virtual machine), new processes and
programs, other processes' signals, limits and memory, io_uring (which makes calls that no filter sees), the kernel's keyrings, memory that no
limit counts, mounts and namespaces, and what administers the machine. A `socketpair` of streams, which asyncio needs, passes: its two ends only reach
each other, while one of datagrams sends to any Unix socket by its address.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Iterator, Mapping

from workbench.replay.sandbox.kernel import libc, why
from workbench.replay.sandbox.measures import Measure

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LOAD, MASK, EQUAL, AT_LEAST, ANY_BIT, GIVE = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
ALLOW, REFUSE, NOT_THERE, TOO_MUCH = 0x7FFF0000, *(0x00050000 | one for one in (errno.EPERM, errno.ENOSYS, errno.ENOMEM))
NUMBER, ARCHITECTURE, FIRST, SECOND, FOURTH = 0, 4, 16, 24, 40
"""Where they stand in what a filter is given (`struct seccomp_data`); of an argument the lower half, which is all that these calls look at."""
CLONE_THREAD, MAP_SHARED, MAP_ANONYMOUS, SOCKET_TYPES = 0x10000, 0x01, 0x20, 0x0F
OTHER_RULES = 0x40000000
"""The bit by which x86-64 tells calls with 32-bit pointers."""

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
Numbers = dict[str, int]


def _numbers(text: str) -> Numbers:
    """Names and numbers, one behind the other, as a mapping."""
    words = text.split()
    return {name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)}


SINCE_5_1: Numbers = _numbers("""
    pidfd_send_signal 424  io_uring_setup 425  io_uring_enter 426  io_uring_register 427  open_tree 428  move_mount 429  fsopen 430  fsconfig 431
    fsmount 432  fspick 433  pidfd_open 434  clone3 435  pidfd_getfd 438  process_madvise 440  mount_setattr 442  memfd_secret 447
""")
"""From here on every architecture has the same numbers."""
CALLS: Mapping[str, Numbers] = {
    "x86_64": SINCE_5_1
    | _numbers("""
        mmap 9  socket 41  socketpair 53
        clone 56  fork 57  vfork 58  execve 59  kill 62  shmget 29  ptrace 101  syslog 103  rt_sigqueueinfo 129  setpriority 141
        sched_setparam 142  sched_setscheduler 144  pivot_root 155  adjtimex 159  chroot 161  acct 163  settimeofday 164  mount 165  umount2 166
        swapon 167  swapoff 168  reboot 169  init_module 175  delete_module 176  quotactl 179  tkill 200  sched_setaffinity 203  clock_settime 227
        tgkill 234  mq_open 240  kexec_load 246  add_key 248  request_key 249  keyctl 250  ioprio_set 251  migrate_pages 256  unshare 272
        move_pages 279  rt_tgsigqueueinfo 297  perf_event_open 298  fanotify_init 300  prlimit64 302  name_to_handle_at 303  open_by_handle_at 304
        clock_adjtime 305  setns 308  process_vm_readv 310  process_vm_writev 311  kcmp 312  finit_module 313  sched_setattr 314  memfd_create 319
        kexec_file_load 320  bpf 321  execveat 322  userfaultfd 323
    """),
    "aarch64": SINCE_5_1
    | _numbers("""
        mmap 222  socket 198  socketpair 199
        clone 220  execve 221  kill 129  shmget 194  ptrace 117  syslog 116  rt_sigqueueinfo 138  setpriority 140  sched_setparam 118
        sched_setscheduler 119  pivot_root 41  adjtimex 171  chroot 51  acct 89  settimeofday 170  mount 40  umount2 39  swapon 224  swapoff 225
        reboot 142  init_module 105  delete_module 106  quotactl 60  tkill 130  sched_setaffinity 122  clock_settime 112  tgkill 131  mq_open 180
        kexec_load 104  add_key 217  request_key 218  keyctl 219  ioprio_set 30  migrate_pages 238  unshare 97  move_pages 239
        rt_tgsigqueueinfo 240  perf_event_open 241  fanotify_init 262  prlimit64 261  name_to_handle_at 264  open_by_handle_at 265  clock_adjtime 266
        setns 268  process_vm_readv 270  process_vm_writev 271  kcmp 272  finit_module 273  sched_setattr 274  memfd_create 279
        kexec_file_load 294  bpf 280  execveat 281  userfaultfd 282
    """),
}
"""The numbers of the calls that a filter looks at, from the kernel's `syscall.tbl` of either architecture."""
ON_ITSELF = (
    "kill",
    "tgkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "prlimit64",
    "sched_setaffinity",
    "sched_setscheduler",
    "sched_setparam",
    "sched_setattr",
)
"""Calls whose first argument is a process: only this one, or 0 for it."""
ON_NOTHING_ELSE = ("setpriority", "ioprio_set")
"""Calls whose second argument is a process: only 0, which is this one."""
KEEPS = ("no Unix sockets", "no processes", "no reach into other processes")

Line = tuple[int, int, int, int]


def filter_calls() -> tuple[Measure, ...]:
    """Refuse these calls from now on, in every thread there will be."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        return tuple(Measure(keeps, False, f"no seccomp filter for {machine}") for keeps in KEEPS)
    code = list(program(ARCHITECTURES[machine], CALLS[machine], os.getpid()))
    text = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    failed = libc().prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, struct.pack("@HP", len(code), ctypes.addressof(text)), 0, 0)
    says = f"seccomp: {why()}" if failed else "seccomp"
    return tuple(Measure(keeps, not failed, says) for keeps in KEEPS)


def program(architecture: int, numbers: Numbers, process_id: int) -> Iterator[Line]:
    """The filter as instructions of classic BPF: code, jump if true, jump if false, operand. A call by the rules of another architecture is refused."""
    yield from ((LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, architecture), (GIVE, 0, 0, REFUSE))
    yield from ((LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, OTHER_RULES), (GIVE, 0, 0, REFUSE))
    for name, number in numbers.items():
        verdict = tuple(_verdict(name, process_id))
        yield EQUAL, 0, len(verdict), number
        yield from verdict
    yield GIVE, 0, 0, ALLOW


def _verdict(name: str, process_id: int) -> Iterator[Line]:
    """What becomes of one call: let through if an argument is right, else refused; every way ends here."""
    allow, refuse = (GIVE, 0, 0, ALLOW), (GIVE, 0, 0, REFUSE)
    if name == "clone3":  # its flags stand in memory, which a filter can't see: the C library asks by `clone` instead
        yield GIVE, 0, 0, NOT_THERE
    elif name == "clone":
        yield from ((LOAD, 0, 0, FIRST), (ANY_BIT, 0, 1, CLONE_THREAD), allow, refuse)
    elif name == "socket":
        yield from ((LOAD, 0, 0, FIRST), (EQUAL, 1, 0, socket.AF_INET), (EQUAL, 0, 1, socket.AF_INET6), allow, refuse)
    elif name == "socketpair":
        yield from ((LOAD, 0, 0, SECOND), (MASK, 0, 0, SOCKET_TYPES), (EQUAL, 0, 1, socket.SOCK_STREAM), allow, refuse)
    elif name == "mmap":  # memory that is shared and belongs to no file counts for nobody
        yield from ((LOAD, 0, 0, FOURTH), (ANY_BIT, 0, 2, MAP_SHARED), (ANY_BIT, 0, 1, MAP_ANONYMOUS), (GIVE, 0, 0, TOO_MUCH), allow)
    elif name in ON_ITSELF:
        yield from ((LOAD, 0, 0, FIRST), (EQUAL, 1, 0, 0), (EQUAL, 0, 1, process_id), allow, refuse)
    elif name in ON_NOTHING_ELSE:
        yield from ((LOAD, 0, 0, SECOND), (EQUAL, 0, 1, 0), allow, refuse)
    else:
        yield refuse
