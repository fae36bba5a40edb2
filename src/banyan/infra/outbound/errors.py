"""Why a receiver has not got something."""

from banyan.kernel.errors import BanyanError, Unavailable


class NotReached(Unavailable):
    """It may work later. reason: one word, which says nothing of the address."""

    code = "not_reached"
    detail = "The receiver could not be reached."

    def __init__(self, reason: str) -> None:
        super().__init__(reason=reason)
        self.reason = reason


class AddressRefused(BanyanError):
    """The name leads to addresses that must not be reached from here."""

    code = "address_refused"
    detail = "The receiver's address is not public on the Internet."
