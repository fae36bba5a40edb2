"""Tables of the users module."""

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, String, Table, Text

from banyan.infra.db.tables import Flag, Id, Instant, metadata

users = Table(
    "users",
    metadata,
    Column("user_id", Id, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("email", String(254), nullable=False),
    Column("email_verified", Flag, nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("role", String(16), nullable=False),
    Column("locale", String(35), nullable=False),
    Column("time_zone", String(64), nullable=False),
    Column("avatar_url", String(2048)),
    # Name and address, case-folded: what administrators search in.
    Column("search_text", String(400), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("disabled_at", Instant),
)

# The directory: who has which address. It belongs to nobody, and lies where GLOBAL lies.
emails = Table(
    "emails",
    metadata,
    # Lower case may be longer than what it is made of.
    Column("email_key", Text, primary_key=True),
    Column("user_id", Id, nullable=False),
)

# Living sessions only: a session that ends leaves the table; its events remain.
sessions = Table(
    "sessions",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("device", String(200), nullable=False),
    Column("address", String(64), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_used_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    # SHA-256 of the refresh token in use and of its predecessor; see refresh_tokens.py.
    Column("refresh_digest", String(64), nullable=False),
    Column("previous_digest", String(64)),
    Column("rotated_at", Instant, nullable=False),
    PrimaryKeyConstraint("user_id", "id"),
)
Index("ix_sessions_expires_at", sessions.c.expires_at)

# Sessions that ended while one of their access tokens may still live. No personal data: it outlives the account.
session_revocations = Table(
    "session_revocations",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("session_id", Id, nullable=False),
    Column("revoked_at", Instant, nullable=False),
    PrimaryKeyConstraint("user_id", "session_id"),
)
Index("ix_session_revocations_revoked_at", session_revocations.c.revoked_at)

# Tokens that work once, by their digests: `verify`, `reset` and `ticket`.
one_time_tokens = Table(
    "one_time_tokens",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("purpose", String(16), nullable=False),
    # The address that it was sent to; a ticket has the session that asked for it instead.
    Column("email", String(254)),
    Column("session_id", Id),
    Column("expires_at", Instant, nullable=False),
    PrimaryKeyConstraint("user_id", "digest"),
)
Index("ix_one_time_tokens_expires_at", one_time_tokens.c.expires_at)

# Asked-for password resets, whether or not such an account exists; see service/resets.py. Lies where GLOBAL lies.
reset_requests = Table(
    "reset_requests",
    metadata,
    Column("id", Id, primary_key=True),
    # Whatever was typed, which may be no address at all.
    Column("email_key", Text, nullable=False),
)

# See service/mail_queue.py for its states.
outgoing_mails = Table(
    "outgoing_mails",
    metadata,
    Column("user_id", Id, nullable=False),
    Column("id", Id, nullable=False),
    Column("to_address", String(254), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("text", Text, nullable=False),
    Column("html", Text),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    # While queued: when it may be tried. Afterwards: when it was sent or given up.
    Column("next_try_at", Instant, nullable=False),
    Column("error", String(64)),
    PrimaryKeyConstraint("user_id", "id"),
)
Index("ix_outgoing_mails_due", outgoing_mails.c.state, outgoing_mails.c.next_try_at)

# The pairs that sign access tokens, private halves sealed with the server's secret. Lies where GLOBAL lies.
signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("sealed", Text, nullable=False),
    Column("verify_until", Integer),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("kid"),
)
