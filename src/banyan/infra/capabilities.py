"""What `bootstrap` hands to every module: the capabilities of this process."""

from dataclasses import dataclass

from banyan.infra.auth.cursors import CursorSigner
from banyan.infra.auth.keys import KeyRing
from banyan.infra.auth.passwords import PasswordHasher
from banyan.infra.auth.revocations import Revocations
from banyan.infra.auth.secret_box import SecretBox
from banyan.infra.auth.service_tokens import ServiceTokens
from banyan.infra.auth.sessions import EndedSessions
from banyan.infra.auth.token_cache import VerifiedTokenCache
from banyan.infra.auth.tokens import TokenIssuer
from banyan.infra.cache.shared import SharedCache
from banyan.infra.db.shards import Shards
from banyan.infra.http.origins import Origins
from banyan.infra.mail.mail import MailTransport
from banyan.infra.outbound.post import Outbound
from banyan.infra.resilience.rate_limit import RateLimiter
from banyan.infra.streams.live import LiveHub
from banyan.infra.streams.log import EventLog
from banyan.infra.streams.positions import Positions
from banyan.infra.tasks.protocol import TaskBroker
from banyan.infra.telemetry.metrics import Metrics
from banyan.kernel.clock import Clock
from banyan.settings import Settings


@dataclass(frozen=True, slots=True)
class Capabilities:
    """shards, positions: of the module that it is handed to; modules may have databases of their own.

    shared_cache: what several processes have in common; None for one that has nobody to share with.
    """

    settings: Settings
    clock: Clock
    shards: Shards
    positions: Positions
    logs: dict[str, EventLog]
    live: LiveHub
    limiter: RateLimiter
    shared_cache: SharedCache | None
    cursors: CursorSigner
    metrics: Metrics
    origins: Origins
    # Who people are
    keys: KeyRing
    secret_box: SecretBox
    passwords: PasswordHasher
    token_issuer: TokenIssuer
    token_cache: VerifiedTokenCache
    revocations: Revocations
    ended_sessions: EndedSessions
    service_tokens: ServiceTokens
    mail: MailTransport
    # Requests to addresses that people give us
    outbound: Outbound
    # None: this process does by itself what it would leave to a worker.
    tasks: TaskBroker | None = None
