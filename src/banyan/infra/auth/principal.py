"""Who is asking, as a verified access token says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """The verified claims of one access token; the only source of identity in Banyan.

    scopes: what the token may be used for (`notify`, …). role: `user` or `admin`.
    expires_at: Unix seconds, as in the token's `exp`: a number, so that the check at every request is one comparison.
    """

    user_id: str
    session_id: str
    scopes: frozenset[str]
    role: str
    expires_at: int

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"

    def has_scope(self, scope: str) -> bool:
        """True when the token grants `scope`; administrators have every scope."""
        return scope in self.scopes or self.role == "admin"
