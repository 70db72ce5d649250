"""Becomes the given command, as another user if asked, and dies when the parent does.

Run as `python -I -S launch.py PARENT_PID SIGNAL UID GID COMMAND…`; UID and GID may be `-`.
The exec happens here and not in a `preexec_fn`, because forking Python with threads may deadlock.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, death_signal: int, user: str, group: str, command: list[str]) -> None:
    """Drop to the user first, since a change of user clears the parent-death signal."""
    if user != "-":
        os.setgroups([])
        os.setgid(int(group))
        os.setuid(int(user))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5:])
