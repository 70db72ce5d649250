"""Runs a function on untrusted input in a child process without credentials, network or time.

`await Sandbox(Limits(memory_bytes=512 * MIB)).run("services.invoice.checking:inspect", path)`:
the function is named "module:function" and may stand in any module that this process can import.

- Arguments and results are None, bool, int, finite float, str, bytes, and lists and dicts of such
  (tuples arrive as lists, keys as str; a dict whose only key is "$part" or "$file" is reserved).
- An argument that is a `Path` is opened here, read-only, and arrives as a binary file object.
- `stream` is for generators: one item at a time, and the child waits while the caller is busy.
"""

from libs.sandbox.limits import MIB, Limits, SandboxError, SandboxKilled
from libs.sandbox.pool import Sandbox

__all__ = ["MIB", "Limits", "Sandbox", "SandboxError", "SandboxKilled"]
