"""Compiles every .proto while the wheel is built, so generated code never lies in the tree."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import google.api
from google.protobuf import descriptor_pb2
from grpc_tools import _proto, protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileProtos(BuildHookInterface):
    """The build hook: protoc over every contract, its output forced into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into a temporary folder and hand that folder to the wheel."""
        root = Path(self.root)
        self._out = tempfile.TemporaryDirectory()
        out = self._out.name
        image = Path(out, "contracts.binpb")
        well_known = Path(_proto.__path__[0])
        google_apis = Path(google.api.__path__[0]).parents[1]
        command = ["protoc", f"-I{root}", f"-I{google_apis}", f"-I{well_known}"]
        command += [f"--python_out={out}", f"--pyi_out={out}", f"--grpc_python_out={out}"]
        command += [f"--descriptor_set_out={image}", "--include_source_info"]
        command += [
            str(path.relative_to(root)) for path in sorted(root.rglob("auditron/**/*.proto"))
        ]
        if protoc.main(command) != 0:
            raise RuntimeError("protoc failed")
        contracts = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
        found = {name: text for file in contracts.file for name, text in comments(file)}
        # Generated code leaves comments out; the gateway's OpenAPI page is made of them.
        Path(out, "auditron", "comments.json").write_text(json.dumps(found))
        Path(out, "auditron", "py.typed").touch()  # without it mypy sees no types
        build_data["force_include"][f"{out}/auditron"] = "auditron"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the folder once the wheel is written."""
        self._out.cleanup()


def comments(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Give the full name and the comment of whatever has one in the file."""
    for location in file.source_code_info.location:
        text = " ".join(location.leading_comments.split())
        if text and (names := _names(file, location.path)):
            yield ".".join([file.package, *names]), text


def _names(node: Any, path: Sequence[int]) -> list[str]:
    """Follow a path of field numbers and places in lists; [] if it leads to an option."""
    found = []
    for at in range(0, len(path) - 1, 2):
        children = getattr(node, node.DESCRIPTOR.fields_by_number[path[at]].name)
        if not isinstance(children, Sequence):
            return []
        node = children[path[at + 1]]
        found.append(node.name)
    return found if len(path) % 2 == 0 else []
