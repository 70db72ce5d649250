"""What takes a process's rights away for good: limits, Landlock and a system call filter.

Linux on x86-64 and arm64: no sockets, no signals to others, no new programs or processes (seccomp;
without it nothing runs), and where the kernel has Landlock, no file but libraries and a folder for
temporary files, and no sight of other processes' memory and environment. Without Landlock a
captured child can read what its user can; on other systems the limits alone hold.
"""

import ctypes
import math
import os
import platform
import resource
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOSYS, EPERM

_libc = ctypes.CDLL(None, use_errno=True)

# Number on x86-64, on arm64 (-1: there is none).
_DENIED = {
    "socket": (41, 198), "io_uring_setup": (425, 425),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221),
    "execveat": (322, 281), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241),
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
}  # fmt: skip
_CLONE = (56, 220)
_CLONE3 = 435
_AUDIT_ARCH = (0xC000003E, 0xC00000B7)
_MACHINES = {"x86_64": 0, "aarch64": 1}
_CLONE_THREAD = 0x10000
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000

# Of struct landlock_ruleset_attr.
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_WRITE_FILE, _REMOVE_FILE, _MAKE_FILE, _TRUNCATE = 1 << 1, 1 << 5, 1 << 8, 1 << 14
_FILE_RIGHTS = _READ_FILE | _WRITE_FILE | _TRUNCATE
_READABLE = (
    "/usr", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/fonts", "/etc/localtime",
    "/etc/timezone", "/etc/mime.types", "/dev/zero", "/dev/urandom", "/sys/devices/system/cpu",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm/overcommit_memory",
)  # fmt: skip


@dataclass(frozen=True)
class Confinement:
    """Everything prepared, so that a child has little left to do."""

    memory_bytes: int
    cpu_s: float
    file_bytes: int
    ruleset: int | None  # file descriptor of the Landlock rules
    program: bytes | None  # the system call filter

    def in_force(self) -> list[str]:
        """Return the names of the protections that this machine has."""
        names = {"landlock": self.ruleset is not None, "seccomp": self.program is not None}
        return ["limits", *(name for name, there in names.items() if there)]

    def enter(self, keeper: int) -> None:
        """Give up all rights. Raises OSError if one cannot be given up."""
        if sys.platform == "linux":
            # No capabilities (root has them), in the form of capset's version 3.
            none = struct.pack("6I", 0, 0, 0, 0, 0, 0)
            _check(_libc.capset(struct.pack("Ii", 0x20080522, 0), none), "capset")
            _prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
            with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
                file.write("1000")  # if memory runs out, the kernel takes this one
            _prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
        if os.getppid() != keeper:
            os._exit(1)  # it died before it could be watched
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_NOFILE, 64)
        _limit(resource.RLIMIT_FSIZE, self.file_bytes)
        _limit(resource.RLIMIT_CPU, math.ceil(self.cpu_s), grace=1)
        if sys.platform == "linux":  # macOS knows the name only
            _limit(resource.RLIMIT_AS, self.memory_bytes)
        if self.ruleset is not None:
            _check(_libc.syscall(446, self.ruleset, 0), "landlock_restrict_self")
        if self.program is not None:
            code = ctypes.create_string_buffer(self.program, len(self.program))
            fprog = struct.pack("HP", len(self.program) // 8, ctypes.addressof(code))
            _prctl(22, 2, fprog)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def prepare(
    memory_bytes: int, cpu_s: float, file_bytes: int, path: Sequence[str], folder: str
) -> Confinement:
    """Return the confinement of children that import from `path` and write to `folder` alone."""
    machine = _MACHINES.get(platform.machine()) if sys.platform == "linux" else None
    return Confinement(
        memory_bytes,
        cpu_s,
        file_bytes,
        None if machine is None else _landlock([*path, sys.base_prefix, *_READABLE], folder),
        None if machine is None else _filter(machine),
    )


def _limit(kind: int, value: int, grace: int = 0) -> None:
    _, hard = resource.getrlimit(kind)
    if hard == resource.RLIM_INFINITY or value + grace <= hard:
        resource.setrlimit(kind, (value, value + grace))
    else:
        resource.setrlimit(kind, (min(value, hard), hard))


def _landlock(readable: Sequence[str], folder: str) -> int | None:
    """Return a rule set that forbids every file but these; None if the kernel has no Landlock."""
    version = _libc.syscall(444, None, 0, 1)
    if version < 1:
        return None
    handled = (1 << min(13 + (version > 1) + (version > 2) + (version > 4), 16)) - 1
    # Then TCP, then signals and abstract sockets of others, as far as the kernel knows them.
    fields = [handled, 3, 3][: 1 + (version > 3) + (version > 5)]
    attribute = struct.pack(f"{len(fields)}Q", *fields)
    ruleset: int = _check(_libc.syscall(444, attribute, len(attribute), 0), "landlock")
    for path in readable:
        _allow(ruleset, path, _READ_FILE | _READ_DIR)
    _allow(ruleset, "/dev/null", _READ_FILE | _WRITE_FILE)
    # No folders in it: they could be nested deeper than anyone can delete.
    rights = _READ_FILE | _READ_DIR | _WRITE_FILE | _REMOVE_FILE | _MAKE_FILE | _TRUNCATE
    _allow(ruleset, folder, rights & handled)
    return ruleset


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no right
    try:
        if not os.path.isdir(path):  # noqa: PTH112  # pathlib is not needed for anything else here
            rights &= _FILE_RIGHTS
        rule = struct.pack("=Qi", rights, fd)
        _check(_libc.syscall(445, ruleset, 1, rule, 0), "landlock_add_rule")
    finally:
        os.close(fd)


def _filter(machine: int) -> bytes:
    """Return the BPF program that denies what _DENIED lists, and processes but not threads."""
    load, equal, at_least, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    deny = (answer, 0, 0, _ERRNO | EPERM)
    code = [
        (load, 0, 0, 4),  # the architecture: numbers mean other calls on another one
        (equal, 1, 0, _AUDIT_ARCH[machine]),
        (answer, 0, 0, _KILL),
        (load, 0, 0, 0),  # the number
        (at_least, 0, 1, 0x40000000),  # x32: other numbers for the same calls
        deny,
    ]
    for numbers in _DENIED.values():
        if numbers[machine] >= 0:
            code += [(equal, 0, 1, numbers[machine]), deny]
    code += [
        (equal, 0, 1, _CLONE3),  # its flags lie in memory; the C library falls back to clone
        (answer, 0, 0, _ERRNO | ENOSYS),
        (equal, 0, 3, _CLONE[machine]),
        (load, 0, 0, 16),  # its flags
        (any_bit, 1, 0, _CLONE_THREAD),
        deny,
        (answer, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def _prctl(option: int, value: int, pointer: bytes | int = 0) -> None:
    arguments = [ctypes.c_ulong(value)]
    rest = pointer if isinstance(pointer, bytes) else ctypes.c_ulong(pointer)
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(option, *arguments, rest, zero, zero), f"prctl({option})")


def _check(result: int, name: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
