"""The one way in which reading a statement fails."""


class Malformed(ValueError):  # noqa: N818 - a fact about the file, as in the contract
    """A statement that cannot be read: which line (0: the whole file), which field, and why."""

    def __init__(self, line: int, field: str, message: str) -> None:
        where = f"Line {line}" if line else "File"
        super().__init__(f"{where}, {field}: {message}" if field else f"{where}: {message}")
        self.line, self.field, self.message = line, field, message

    def __reduce__(self) -> tuple[type["Malformed"], tuple[int, str, str]]:
        return Malformed, (self.line, self.field, self.message)
