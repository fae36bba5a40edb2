"""Settings: environment variables with the prefix `BANYAN_`, read once.

`banyan config` prints this page with the present values.
"""

import os
import secrets
from collections.abc import Sequence
from datetime import timedelta
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

T = TypeVar("T")

PLACEHOLDERS = {"", "change-me", "changeme", "changethis", "secret", "password", "placeholder", "todo", "xxx"}
MIN_SECRET_CHARS = 32


class SettingsError(Exception):
    """Settings that cannot be used; its text says which, why, and what to set."""


class Settings(BaseSettings):
    """How one process of Banyan runs. Sections follow the parts they set."""

    model_config = SettingsConfigDict(env_prefix="BANYAN_", frozen=True, extra="ignore")

    # Where it listens, and under which name
    env: Literal["development", "production"] = Field(
        "development",
        description="`production` refuses to start without a real secret and public URL, and logs JSON.",
    )
    host: str = Field(
        "127.0.0.1", description="Address to listen on; 0.0.0.0 for every network of the machine."
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Server processes on this address; one for each core. More than one needs PostgreSQL. Each has a pool of"
        " connections and memory of its own.",
    )
    public_url: str | None = Field(
        None,
        description="The address under which people reach Banyan, such as https://todos.example.org. Links in mails and"
        " `url` fields start with it. Unset: `url` fields follow the request's Host, mails http://HOST:PORT.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Other web origins that may call the API from a browser (CORS, WebSocket), separated by commas."
        " Banyan's own origin always may.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses of proxies, separated by commas, whose X-Forwarded-For and X-Forwarded-Proto are believed.",
    )

    # Where data lies
    data_dir: Path = Field(
        Path("data"),
        description="Folder of the SQLite file, the development mail outbox and the development secret.",
    )
    database_readers: int = Field(
        2, ge=1, le=64, description="Threads that read SQLite side by side; the writer is always one."
    )

    # PostgreSQL in place of SQLite
    database_url: SecretStr | None = Field(
        None,
        description="`postgresql://USER:PASSWORD@HOST:PORT/DATABASE` keeps everything in PostgreSQL, for which Banyan is"
        " installed with the extra `postgres`. Unset: a SQLite file in the data folder.",
    )
    database_pool_size: int = Field(
        20,
        ge=2,
        le=1000,
        description="Most connections of one process; all processes together stay under the server's max_connections.",
    )
    database_pool_wait: timedelta = Field(
        timedelta(milliseconds=100),
        description="How long a request waits for a free connection before it is answered 503, in seconds.",
    )
    database_idle_timeout: timedelta = Field(
        timedelta(seconds=30), description="How long a connection that nobody uses is kept, in seconds."
    )
    database_connect_timeout: timedelta = Field(
        timedelta(seconds=2), description="How long connecting may take, in seconds."
    )
    database_statement_timeout: timedelta = Field(
        timedelta(seconds=5),
        description="How long one statement, one wait for a lock, or one pause inside a transaction may take, in seconds.",
    )

    # A database for each service
    users_database_url: SecretStr | None = Field(
        None, description="The database of users, when it is another than `BANYAN_DATABASE_URL`."
    )
    todos_database_url: SecretStr | None = Field(
        None, description="The database of to-dos, when it is another than `BANYAN_DATABASE_URL`."
    )
    notifications_database_url: SecretStr | None = Field(
        None, description="The database of notifications, when it is another than `BANYAN_DATABASE_URL`."
    )

    # Services: where a process finds the modules that it does not run itself
    users_url: str | None = Field(
        None, description="Where the service `users` answers other services, such as http://users:8000."
    )
    todos_url: str | None = Field(None, description="Where the service `todos` answers other services.")
    notifications_url: str | None = Field(
        None, description="Where the service `notifications` answers other services."
    )
    service_timeout: timedelta = Field(
        timedelta(seconds=1),
        gt=timedelta(0),
        description="How long one service waits for another, all retries included, in seconds.",
    )

    cache_max_bytes: int = Field(
        64 * 1024 * 1024,
        ge=0,
        description="Memory for ready lists of to-dos; notifications get a quarter of it on top. 0 keeps no answer, here or in"
        " Redis, so that each is loaded: for measuring.",
    )

    # Redis, Kafka and RabbitMQ
    redis_url: SecretStr | None = Field(
        None,
        description="`redis://HOST:PORT/0` of a Redis or Valkey: positions, cached answers and rate limits that hold across"
        " processes. Needs the extra `redis`. Unset: each process counts for itself and asks the database for positions.",
    )
    redis_timeout: timedelta = Field(
        timedelta(milliseconds=50),
        gt=timedelta(0),
        description="How long an answer of Redis may take before the database is asked instead, in seconds.",
    )
    kafka_servers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="`HOST:PORT` of one or more Kafka brokers, separated by commas: events go between services through"
        " Kafka. Needs the extra `kafka`. Unset: events stay in the process.",
    )
    kafka_tls: bool = Field(
        False,
        description="Speak TLS with the Kafka brokers. Their certificates have to be good for the names in"
        " `BANYAN_KAFKA_SERVERS`, and signed by an authority of the system's (or of the file that `SSL_CERT_FILE` names).",
    )
    amqp_url: SecretStr | None = Field(
        None,
        description="`amqp://USER:PASSWORD@HOST:PORT/` of RabbitMQ: mails, webhooks and reminders are done by"
        " `banyan worker`. Needs the extra `rabbitmq`. Unset: the serving process does them itself.",
    )
    tasks_max_length: int = Field(
        100_000,
        ge=10,
        description="How many tasks may wait in RabbitMQ; past it they wait in the database. It is set when the queue is"
        " made.",
    )
    worker_concurrency: int = Field(
        16, ge=1, le=1000, description="Tasks that one `banyan worker` does side by side."
    )

    # The gateway: the Envoy in front of the services
    gateway_replicas: Annotated[tuple[str, ...], NoDecode] = Field(
        ("all=127.0.0.1:8001",),
        description="Where the services listen, for `banyan gateway`: `users=HOST:PORT`, `todos=…`, `notifications=…`,"
        " separated by commas, a service once for each replica; `all=HOST:PORT` for a process that serves everything.",
    )
    gateway_internal: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Ports of 127.0.0.1 at which the gateway balances the calls between services, as `users=9101,todos=9102`."
        " Unset: something else does, such as a Kubernetes Service.",
    )
    gateway_admin_port: int = Field(
        9901,
        ge=1,
        le=65535,
        description="Port of Envoy's admin interface, which is for this machine alone.",
    )
    gateway_metrics: str | None = Field(
        None,
        description="`HOST:PORT` at which the gateway tells its own metrics on `/metrics`, and answers nothing else. Unset:"
        " nowhere.",
    )
    gateway_trusted_hops: int = Field(
        0,
        ge=0,
        le=10,
        description="Proxies in front of the gateway that write X-Forwarded-For. With 0 what a client sends there is dropped.",
    )
    gateway_certificate: Path | None = Field(
        None,
        description="PEM file of the certificate, with its chain, when the gateway itself is to speak HTTPS.",
    )
    gateway_key: Path | None = Field(None, description="PEM file of the certificate's private key.")

    # Secrets and sessions
    secret_key: SecretStr | None = Field(
        None,
        description="Seals signing keys and signs cursors; at least 32 characters (`openssl rand -base64 48`)."
        " Development makes one in the data folder. Losing it logs everybody out.",
    )
    access_token_lifetime: timedelta = Field(
        timedelta(minutes=10),
        gt=timedelta(seconds=30),
        le=timedelta(hours=24),
        description="How long an access token is good for, in seconds. Shorter costs refreshes.",
    )
    session_lifetime: timedelta = Field(
        timedelta(days=30),
        description="How long a session lives without being used, in seconds; must exceed the access token's lifetime.",
    )
    password_min_length: int = Field(12, ge=8, le=64, description="Fewest characters of a new password.")
    argon2_memory_kib: int = Field(19456, ge=19456, description="Memory of one password hash, in KiB.")
    argon2_iterations: int = Field(2, ge=2, description="Passes of one password hash.")
    password_workers: int = Field(2, ge=1, description="Password hashes computed side by side.")

    # Limits
    max_body_bytes: int = Field(1_048_576, ge=1024, description="Largest request body.")
    rate_limit_user: str = Field(
        "300000/minute", description="Requests of one user. Written as COUNT/second|minute|hour."
    )
    rate_limit_address: str = Field("600000/minute", description="Requests of one network address.")
    rate_limit_login_account: str = Field(
        "10/minute",
        description="Failed logins of one account; a device it is known on is counted on its own.",
    )
    rate_limit_login_address: str = Field(
        "600/minute", description="Logins and password mails from one address."
    )
    rate_limit_register: str = Field("6000/minute", description="Registrations from one address.")
    live_max_per_user: int = Field(50, ge=1, description="Open event streams and sockets of one user.")
    live_max_per_address: int = Field(
        5000, ge=1, description="Open event streams and sockets from one network address."
    )
    live_replay_limit: int = Field(
        1000,
        ge=1,
        description="Events that a reconnecting stream may have missed; past it the client reloads.",
    )

    # Mail
    smtp_host: str | None = Field(
        None, description="SMTP server. Unset: mail lies in the data folder, see `banyan mail`."
    )
    smtp_port: int = Field(587, ge=1, le=65535, description="Port of the SMTP server.")
    smtp_user: str | None = Field(None, description="User name at the SMTP server.")
    smtp_password: SecretStr | None = Field(None, description="Password at the SMTP server.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection is encrypted."
    )
    mail_from: str = Field("Banyan <banyan@localhost>", description="Sender of mails.")

    # Webhooks
    webhook_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Networks, separated by commas, that webhooks may reach although they are not public on the Internet,"
        " such as 127.0.0.0/8 on a developer's machine. Whoever has an account can send there.",
    )
    webhook_http: bool | None = Field(
        None,
        description="Whether a webhook's URL may be unencrypted http. Unset: in development yes, in production no.",
    )
    webhook_timeout: timedelta = Field(
        timedelta(seconds=10),
        gt=timedelta(0),
        le=timedelta(seconds=15),
        description="How long a webhook's receiver may take to answer, in seconds.",
    )

    # Watching it
    otlp_endpoint: str | None = Field(
        None,
        description="Where traces are sent by OTLP over HTTP, such as http://collector:4318; `/v1/traces` is added. Needs the"
        " extra `tracing`. Unset: no traces are recorded, and a `traceparent` is only passed along.",
    )
    trace_sample: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of the requests that are traced, 0 to 1; the cost rises with it. A request with a `traceparent` is traced when that says"
        " so.",
    )

    # Running
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The least that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto` is JSON in production and lines for people in development."
    )
    drain_delay: timedelta | None = Field(
        None,
        ge=timedelta(0),
        le=timedelta(minutes=5),
        description="How long a process that is asked to stop goes on accepting requests while `/readyz` already says 503, in"
        " seconds: longer than whatever balances the load takes to notice. Unset: 0 in development, 2 in production.",
    )
    shutdown_timeout: timedelta = Field(
        timedelta(seconds=8), description="How long requests in flight may take at shutdown, in seconds."
    )
    fault: str | None = Field(
        None,
        description="For fault tests: kill the process at a named point, as POINT:COUNT. Never in production.",
    )
    edge: bool = Field(
        True, description="Serve hot routes in front of the router; off only to measure what it brings."
    )

    @field_validator(
        "allowed_origins",
        "trusted_proxies",
        "kafka_servers",
        "gateway_replicas",
        "gateway_internal",
        "webhook_networks",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("*", mode="before")
    @classmethod
    def _seconds(cls, value: object, info: ValidationInfo) -> object:
        """A duration is a number of seconds, and may have a fraction: pydantic takes whole ones only from a text."""
        field = cls.model_fields[info.field_name or ""]
        if field.annotation in (timedelta, timedelta | None) and isinstance(value, str):
            try:
                return float(value)
            except ValueError:
                return value
        return value

    @field_validator("users_url", "todos_url", "notifications_url")
    @classmethod
    def _is_askable(cls, value: str | None) -> str | None:
        return _with_extra(value, "aiohttp", "Asking another service", "services")

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_sendable(cls, value: str | None) -> str | None:
        return _with_extra(value, "opentelemetry.sdk", "Tracing", "tracing")

    @field_validator("public_url", "users_url", "todos_url", "notifications_url", "otlp_endpoint")
    @classmethod
    def _plain_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/") if value else None

    @field_validator("database_url", "users_database_url", "todos_database_url", "notifications_database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://; leave it unset for SQLite")
        return _with_extra(value, "asyncpg", "PostgreSQL", "postgres")

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(
            ("redis://", "rediss://", "unix://")
        ):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return _with_extra(value, "redis", "Redis", "redis")

    @field_validator("kafka_servers")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for server in value:
            host, _, port = server.rpartition(":")
            if not host or not port.isdigit() or "/" in server:
                raise ValueError(f"{server!r} is not HOST:PORT")
        return _with_extra(value, "aiokafka", "Kafka", "kafka")

    @field_validator("webhook_networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @field_validator("amqp_url")
    @classmethod
    def _is_amqp(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("amqp://", "amqps://")):
            raise ValueError("must start with amqp:// or amqps://")
        return _with_extra(value, "aio_pika", "RabbitMQ", "rabbitmq")

    @field_validator(
        "rate_limit_user",
        "rate_limit_address",
        "rate_limit_login_account",
        "rate_limit_login_address",
        "rate_limit_register",
    )
    @classmethod
    def _is_rate(cls, value: str) -> str:
        from banyan.infra.resilience.rate_limit import Rate

        Rate.parse(value)
        return value

    @field_validator("fault")
    @classmethod
    def _is_fault(cls, value: str | None) -> str | None:
        if value is not None:
            from banyan.infra.faults import parse

            parse(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        if self.session_lifetime <= self.access_token_lifetime:
            raise ValueError("BANYAN_SESSION_LIFETIME must exceed BANYAN_ACCESS_TOKEN_LIFETIME")
        if self.env == "production":
            secret = self.secret_key.get_secret_value() if self.secret_key else ""
            if secret.strip().lower() in PLACEHOLDERS or len(secret) < MIN_SECRET_CHARS:
                raise ValueError(
                    "BANYAN_SECRET_KEY is missing, too short or a placeholder: set it to the output of `openssl rand -base64 48`"
                )
            if self.fault is not None:
                raise ValueError("BANYAN_FAULT kills the process on purpose: it is for tests, unset it")
            if self.public_url is None:
                raise ValueError(
                    "BANYAN_PUBLIC_URL is missing: set it to the address that people open, such as https://todos.example.org"
                )
        return self

    @property
    def database_path(self) -> Path:
        return self.data_dir / "banyan.sqlite3"

    def database_of(self, module: str) -> "Path | str":
        """Where a module's data lies: the path of a SQLite file, or the URL of a PostgreSQL database."""
        url: SecretStr | None = getattr(self, f"{module}_database_url", None) or self.database_url
        return self.database_path if url is None else url.get_secret_value()

    def databases(self, modules: Sequence[str]) -> "list[Path | str]":
        """The databases of these modules, each once."""
        return list(dict.fromkeys(self.database_of(module) for module in modules))

    @property
    def logs_json(self) -> bool:
        return self.log_format == "json" or (self.log_format == "auto" and self.env == "production")

    @property
    def drain_seconds(self) -> float:
        if self.drain_delay is not None:
            return self.drain_delay.total_seconds()
        # The gateway asks twice a second.
        return 2.0 if self.env == "production" else 0.0

    @property
    def webhooks_over_http(self) -> bool:
        return self.env == "development" if self.webhook_http is None else self.webhook_http

    @property
    def mail_url(self) -> str:
        """What links in mails start with. Never taken from a request: a forged Host would steal reset links."""
        if self.public_url:
            return self.public_url
        host = "localhost" if self.host in ("0.0.0.0", "::", "127.0.0.1") else self.host  # noqa: S104 - compared, not bound
        return f"http://{host}:{self.port}"

    def secret(self) -> str:
        """The secret; in development one is made in the data folder the first time."""
        if self.secret_key is not None:
            return self.secret_key.get_secret_value()
        path = self.data_dir / "secret.key"
        try:
            return path.read_text().strip()
        except FileNotFoundError:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            made = secrets.token_urlsafe(48)
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:  # another process made it just now
                return path.read_text().strip()
            with os.fdopen(descriptor, "w") as file:
                file.write(made + "\n")
            return made


def database_label(database: "Path | str") -> str:
    """A database for people to read, without a password."""
    if isinstance(database, Path):
        return str(database.resolve())
    url = urlsplit(database)
    return f"postgresql://{url.netloc.rpartition('@')[2]}{url.path}"


def _with_extra(value: T, package: str, backend: str, extra: str) -> T:
    """The value of a setting that needs an extra's package. Raises ValueError when it is set without it."""
    # A package of a namespace (`opentelemetry.sdk`) can only be looked for when the namespace is there.
    whole = [package] if "." not in package else [package.partition(".")[0], package]
    if value and any(find_spec(name) is None for name in whole):
        raise ValueError(f"{backend} needs an extra: pip install 'banyan-backend[{extra}]'")
    return value


def load_settings() -> Settings:
    """The settings of the environment. Raises SettingsError with one line for each that cannot be used."""
    try:
        return Settings()  # pyright: ignore[reportCallIssue] - the environment fills the fields
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            name = "BANYAN_" + "_".join(str(part) for part in fault["loc"]).upper() if fault["loc"] else ""
            message = fault["msg"].removeprefix("Value error, ")
            lines.append(f"{name}: {message}" if name else message)
        raise SettingsError("\n".join(lines)) from error
