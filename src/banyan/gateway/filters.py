"""What every request from outside goes through on its way to a service:

headers that clients have no business to send → CORS → limit of its address → token → service
"""

from typing import Any

from banyan.bootstrap import AUDIENCE
from banyan.gateway.plan import Plan
from banyan.gateway.routes import FRONT
from banyan.gateway.virtual_hosts import CHECK_TOKEN, CORS, RATE_LIMIT, TOKENS
from banyan.infra.auth.tokens import MAX_LEEWAY

# Clients may send these and nobody must believe them. `x-envoy-…` would change how Envoy itself treats a request that comes
# from the loopback address or a private network; `banyan-…` is what services say to each other.
REMOVED = (
    "x-user-id",
    "x-real-ip",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "forwarded",
)
REMOVED_BEGINNINGS = ("x-envoy-", "banyan-")

# Addresses that are counted at one time; the one that was quiet the longest gives way to a new one.
COUNTED_ADDRESSES = 50_000
# The next key is published long before it signs, so a list of this age knows every key that is in use.
JWKS_SECONDS = "60s"
JWKS_TIMEOUT = "2s"
KEPT_TOKENS = 10_000
REASON = "refused"
# What is no reason to refuse here, in Envoy's words: no token, and tokens that cannot be judged without a key. Such a request
# goes on to the service, which has rules and keys of its own.
CANNOT_JUDGE = (
    "Jwt is missing",
    "Jwks remote fetch is failed",
    "Jwks is an invalid JSON",
    "Jwks does not have [keys] field",
    "Jwks doesn't have any valid public key",
    "Jwks doesn't have key to match kid or alg from Jwt",
)


def filters(plan: Plan, issuer: str) -> list[dict[str, Any]]:
    """The `http_filters` of the public listener. issuer: the `iss` of the tokens."""
    cors = [_cors()] if plan.allowed_origins else []
    return [*cors, _rate_limit(plan), _tokens(issuer), _refuse_bad_tokens(), router()]


def router() -> dict[str, Any]:
    return _filter("envoy.filters.http.router", "router.v3.Router", suppress_envoy_headers=True)


def header_hygiene(plan: Plan) -> dict[str, Any]:
    """Takes away what clients must not say, before anything else looks at it."""
    removed: list[str] = list(REMOVED)
    if plan.trusted_hops == 0:
        # No proxy stands in front, so whatever it says, the client made it up.
        removed.append("x-forwarded-for")
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [
                *({"remove": name} for name in removed),
                *(
                    {"remove_on_match": {"key_matcher": {"prefix": prefix, "ignore_case": True}}}
                    for prefix in REMOVED_BEGINNINGS
                ),
            ],
        },
    }


def _cors() -> dict[str, Any]:
    """Answers preflights, and lets the origins that may read the services' answers read the gateway's own, too."""
    return _filter(CORS, "cors.v3.Cors")


def _rate_limit(plan: Plan) -> dict[str, Any]:
    """As many requests from one address as the services themselves allow it; an IPv6 network of a household is one address."""
    rate = plan.address_rate
    bucket = {
        "max_tokens": rate.burst,
        "tokens_per_fill": rate.limit,
        "fill_interval": f"{rate.per.total_seconds():g}s",
    }
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return _filter(
        RATE_LIMIT,
        "local_ratelimit.v3.LocalRateLimit",
        stat_prefix="address",
        filter_enabled={**always, "runtime_key": "banyan.rate_limit"},
        filter_enforced={**always, "runtime_key": "banyan.rate_limit_enforced"},
        # Not one bucket for all the world: only that of the address counts.
        token_bucket={"max_tokens": 4_000_000_000, "tokens_per_fill": 4_000_000_000, "fill_interval": "1s"},
        always_consume_default_token_bucket=False,
        max_dynamic_descriptors=COUNTED_ADDRESSES,
        rate_limits=[
            {"actions": [{"masked_remote_address": {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}}]}
        ],
        descriptors=[{"entries": [{"key": "masked_remote_address"}], "token_bucket": bucket}],
    )


def _tokens(issuer: str) -> dict[str, Any]:
    provider = {
        "issuer": issuer,
        "audiences": [AUDIENCE],
        # Never stricter than the services.
        "clock_skew_seconds": int(MAX_LEEWAY.total_seconds()),
        "require_expiration": True,
        # Nowhere else: by default Envoy would look into the query, too.
        "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
        # Services judge it again, and take who it is from it.
        "forward": True,
        "remote_jwks": {
            "http_uri": {
                "uri": f"http://{FRONT}/.well-known/jwks.json",
                "cluster": FRONT,
                "timeout": JWKS_TIMEOUT,
            },
            "cache_duration": JWKS_SECONDS,
            # Fetched beforehand and again and again; while `users` is away the keys that are known go on being used.
            "async_fetch": {"failed_refetch_duration": "1s"},
        },
        # A signature costs as much as all the rest of a request; a token that was found good is looked at for its expiry only.
        "jwt_cache_config": {"jwt_cache_size": KEPT_TOKENS},
        "failed_status_in_metadata": REASON,
    }
    return _filter(
        TOKENS,
        "jwt_authn.v3.JwtAuthentication",
        providers={"banyan": provider},
        requirement_map={
            CHECK_TOKEN: {
                "requires_any": {
                    "requirements": [{"provider_name": "banyan"}, {"allow_missing_or_failed": {}}]
                }
            }
        },
    )


def _refuse_bad_tokens() -> dict[str, Any]:
    """Refuses what the filter before it found to be bad, and lets pass what it could not judge."""
    tolerated = [_reason({"string_match": {"exact": reason}}) for reason in CANNOT_JUDGE]
    bad = [_reason({"present_match": True}), {"not_id": {"or_ids": {"ids": tolerated}}}]
    return _filter(
        "envoy.filters.http.rbac",
        "rbac.v3.RBAC",
        rules={
            "action": "DENY",
            "policies": {
                "bad-token": {"permissions": [{"any": True}], "principals": [{"and_ids": {"ids": bad}}]}
            },
        },
    )


def _reason(value: dict[str, Any]) -> dict[str, Any]:
    matcher = {"filter": TOKENS, "path": [{"key": REASON}, {"key": "message"}], "value": value}
    return {"sourced_metadata": {"metadata_matcher": matcher}}


def _filter(name: str, kind: str, **settings: Any) -> dict[str, Any]:
    return {
        "name": name,
        "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.filters.http.{kind}", **settings},
    }
