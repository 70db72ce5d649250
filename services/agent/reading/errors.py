"""Why a document cannot be read, with stable reasons that a caller can act on."""


class Unreadable(Exception):  # noqa: N818 - the word says more than "UnreadableError"
    """A document that yields nothing; `reason` is stable, `message` is for people.

    Reasons: EMPTY, BROKEN, ENCRYPTED, TOO_MANY_PAGES, TOO_MANY_PIXELS, XML_FORBIDDEN,
    NOT_AN_INVOICE, UNSUPPORTED_TYPE.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"
