"""The users module, put together."""

from banyan.infra.capabilities import Capabilities
from banyan.infra.db.transaction import Transaction
from banyan.infra.module import Fold, Module, State
from banyan.infra.resilience.rate_limit import Rate
from banyan.modules.users.contract import STREAM
from banyan.modules.users.known_devices import KnownDevices
from banyan.modules.users.model import apply_event
from banyan.modules.users.refresh_tokens import RefreshTokens
from banyan.modules.users.routes.admin import admin_router
from banyan.modules.users.routes.cookies import Cookies
from banyan.modules.users.routes.internal import internal_users_router
from banyan.modules.users.routes.recovery import recovery_router
from banyan.modules.users.routes.sessions import session_router
from banyan.modules.users.routes.users import user_router
from banyan.modules.users.routes.well_known import well_known_router
from banyan.modules.users.service.accounts import Accounts
from banyan.modules.users.service.administration import Administration
from banyan.modules.users.service.confirmation import Confirmation
from banyan.modules.users.service.endings import EndingsWatch, SessionEndings
from banyan.modules.users.service.letters import Letters
from banyan.modules.users.service.mail_queue import MailQueue
from banyan.modules.users.service.passwords import Passwords
from banyan.modules.users.service.profiles import Profiles
from banyan.modules.users.service.sessions import Sessions
from banyan.modules.users.service.signing_keys import SigningKeys
from banyan.modules.users.service.sweeping import Sweeper
from banyan.modules.users.service.throttle import Throttle
from banyan.modules.users.service.tickets import Tickets
from banyan.modules.users.service.users import UsersService
from banyan.modules.users.store import accounts as account_store
from banyan.modules.users.store import sessions as session_store


def build(infra: Capabilities) -> Module:
    settings, shards, clock, log = infra.settings, infra.shards, infra.clock, infra.logs[STREAM]
    secret = settings.secret()

    throttle = Throttle(
        infra.limiter,
        register=Rate.parse(settings.rate_limit_register),
        login_address=Rate.parse(settings.rate_limit_login_address),
        login_account=Rate.parse(settings.rate_limit_login_account),
    )
    confirmation = Confirmation(shards, infra.passwords, throttle)
    endings = SessionEndings(log, clock)
    queue = MailQueue(shards, clock, infra.mail)
    letters = Letters(queue, clock, settings.mail_url)
    accounts = Accounts(
        shards,
        log,
        clock,
        profiles=Profiles(shards, log, infra.positions, infra.shared_cache).measured(infra.metrics),
        passwords=infra.passwords,
        throttle=throttle,
        confirmation=confirmation,
        endings=endings,
        letters=letters,
        password_min_length=settings.password_min_length,
    )
    passwords = Passwords(
        shards,
        log,
        clock,
        hasher=infra.passwords,
        throttle=throttle,
        confirmation=confirmation,
        accounts=accounts,
        endings=endings,
        letters=letters,
        min_length=settings.password_min_length,
    )
    sessions = Sessions(
        shards,
        log,
        clock,
        passwords=infra.passwords,
        throttle=throttle,
        endings=endings,
        issuer=infra.token_issuer,
        refresh_tokens=RefreshTokens(secret),
        known_devices=KnownDevices(secret),
        lifetime=settings.session_lifetime,
    )
    tickets = Tickets(shards, clock, access_token_seconds=infra.token_issuer.lifetime_seconds)
    administration = Administration(
        shards,
        log,
        clock,
        hasher=infra.passwords,
        accounts=accounts,
        passwords=passwords,
        endings=endings,
        letters=letters,
    )
    signing_keys = SigningKeys(
        shards,
        log,
        clock,
        ring=infra.keys,
        box=infra.secret_box,
        token_cache=infra.token_cache,
        token_lifetime=settings.access_token_lifetime,
    )
    watch = EndingsWatch(shards, clock, infra.ended_sessions)

    async def start() -> None:
        await signing_keys.load()
        await watch.load()

    contract = UsersService(accounts, tickets, administration, signing_keys, watch)
    return Module(
        name=STREAM,
        contract=contract,
        log=log,
        routers=[
            user_router(accounts, passwords),
            session_router(
                sessions, tickets, Cookies(infra.origins, development=settings.env == "development")
            ),
            recovery_router(accounts, passwords),
            well_known_router(infra.keys, clock, issuer=infra.token_issuer.issuer),
            admin_router(administration, infra.cursors),
        ],
        internal=[internal_users_router(contract, infra.service_tokens)],
        loops=[
            signing_keys.loop(),
            queue.loop(),
            passwords.loop(),
            Sweeper(shards, clock, endings, queue).loop(),
        ],
        folds=[Fold(STREAM, apply_event, stored)],
        start=start,
        on_commit=watch.observe,
    )


async def stored(tx: Transaction, user_id: str) -> State:
    """What the tables hold of a user, secrets left out, in the form that events fold to."""
    account = await account_store.find(tx, user_id)
    if account is None:
        return {}
    state: State = {f"user/{user_id}": {**account.profile(), "disabled_at": account.disabled_at}}
    for session in await session_store.of_user(tx, user_id):
        state[f"session/{session.id}"] = {
            "id": session.id,
            "device": session.device,
            "created_at": session.created_at,
        }
    return state
