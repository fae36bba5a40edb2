"""What must not be in Terraform's files: secrets, open doors, unencrypted disks and lines, servers that are deleted by mistake."""

import re
from collections.abc import Iterator
from typing import Any

from tests.support.terraform import Block, Files, Module, fields, literal, modules, references, variables_of

EVERYBODY = ("0.0.0.0/0", "::/0")
SECRET_FIELD = re.compile(r"password|auth_token|secret_string|secret_key|private_key|token$")
NO_SECRET = re.compile(r"_version$|_wo_version$|^auth_token_update_strategy$|^http_tokens$")
AWS_KEY = re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b")
URL_WITH_PASSWORD = re.compile(r"\w+://[^\s/:@$%\"]*:[^\s/@$%\"<]+@")

# Field → what it must be. None: whatever, but there.
MUST: dict[str, dict[str, Any]] = {
    "aws_db_instance": {
        "storage_encrypted": True,
        "kms_key_id": None,
        "publicly_accessible": False,
        "deletion_protection": None,
    },
    "aws_elasticache_replication_group": {
        "at_rest_encryption_enabled": True,
        "transit_encryption_enabled": True,
        "transit_encryption_mode": "required",
        "auth_token": None,
        "kms_key_id": None,
    },
    "aws_msk_cluster": {
        "encryption_info.encryption_at_rest_kms_key_arn": None,
        "encryption_info.encryption_in_transit.client_broker": "TLS",
        "encryption_info.encryption_in_transit.in_cluster": True,
    },
    "aws_mq_broker": {"publicly_accessible": False, "encryption_options.kms_key_id": None},
    "aws_eks_cluster": {
        "encryption_config.provider.key_arn": None,
        "access_config.authentication_mode": "API",
        "access_config.bootstrap_cluster_creator_admin_permissions": False,
        "vpc_config.endpoint_private_access": True,
        "deletion_protection": None,
    },
    "aws_launch_template": {
        "metadata_options.http_tokens": "required",
        "metadata_options.http_put_response_hop_limit": 1,
        "block_device_mappings.ebs.encrypted": True,
    },
    "aws_kms_key": {"enable_key_rotation": True, "deletion_window_in_days": None},
    "aws_cloudwatch_log_group": {"kms_key_id": None, "retention_in_days": None},
    "aws_secretsmanager_secret": {"kms_key_id": None, "recovery_window_in_days": None},
    "aws_lb": {"enable_deletion_protection": None},
    "aws_lb_listener": {"protocol": "TLS", "certificate_arn": None, "ssl_policy": None},
    "aws_s3_bucket_public_access_block": {
        "block_public_acls": True,
        "block_public_policy": True,
        "ignore_public_acls": True,
        "restrict_public_buckets": True,
    },
}
# What stands beside each bucket.
BUCKET = (
    "aws_s3_bucket_public_access_block",
    "aws_s3_bucket_versioning",
    "aws_s3_bucket_server_side_encryption_configuration",
    "aws_s3_bucket_policy",
)


def faults(files: Files) -> list[str]:
    """One sentence each."""
    known = modules(files)
    found = [fault for module in known.values() for fault in _of_module(module)]
    return (
        found
        + [fault for path, text in files.items() for fault in _of_text(path, text)]
        + list(_of_values(files))
    )


def _of_module(module: Module) -> Iterator[str]:
    resources = module.of_kind("resource").values()
    for block in module.blocks:
        place = f"{module.folder}: {block.kind} {block.name}"
        yield from (f"{place}: {fault}" for fault in _literal_secrets(block.body))
        is_secret = SECRET_FIELD.search(block.name) and not NO_SECRET.search(block.name)
        if block.kind in ("variable", "output") and is_secret and block.body.get("sensitive") is not True:
            yield f"{place} is not marked as sensitive"
    for block in resources:
        place = f"{module.folder}: {block.name}"
        for path, wanted in MUST.get(block.type, {}).items():
            value = _at(block.body, path.split("."))
            if value is None or (wanted is not None and (literal(value) or value) != wanted):
                yield f"{place}: {path} is {value}, not {'set' if wanted is None else wanted}"
        yield from (f"{place}: {fault}" for fault in _doors(block, module))
    types = {block.type for block in resources}
    if "aws_s3_bucket" in types:
        yield from (f"{module.folder}: a bucket without {needed}" for needed in BUCKET if needed not in types)
    providers = {
        block.type.partition("_")[0]
        for kind in ("resource", "data", "ephemeral")
        for block in module.of_kind(kind).values()
    }
    pinned = {
        name: literal(one["version"]) or ""
        for body in module.settings
        for required in body.get("required_providers", [])
        for name, one in fields(required)
    }
    for name in sorted(providers - set(pinned)):
        yield f"{module.folder}: no version of the provider {name} is required"
    if not module.folder.startswith("modules/"):
        yield from (
            f"{module.folder}: {name} may change its major version"
            for name, version in pinned.items()
            if not version.startswith("~>")
        )
        if not any("required_version" in body for body in module.settings):
            yield f"{module.folder}: no version of Terraform is required"


def _literal_secrets(body: dict[str, Any]) -> Iterator[str]:
    for name, value in fields(body):
        if isinstance(value, dict):
            yield from _literal_secrets(value)
        elif isinstance(value, list):
            for one in value:
                if isinstance(one, dict):
                    yield from _literal_secrets(one)
        elif SECRET_FIELD.search(name) and not NO_SECRET.search(name) and literal(value):
            yield f"{name} is written down"


def _doors(block: Block, module: Module) -> Iterator[str]:
    """Everybody comes in through the load balancer's group, and nowhere else."""
    if block.type == "aws_security_group" and {"ingress", "egress"} & set(block.body):
        yield "its rules belong into resources of their own"
    if block.type not in ("aws_vpc_security_group_ingress_rule", "aws_security_group_rule"):
        return
    for name in ("cidr_ipv4", "cidr_ipv6", "cidr_blocks"):
        value = block.body.get(name)
        if value is None:
            continue
        if any(door in str(value) for door in EVERYBODY):
            yield f"{name} lets everybody in"
        elif (
            any(one.root == "each" for one in references(value)) and module.folder != "modules/load_balancer"
        ):
            yield f"{name} is not one network"
    if literal(block.body.get("ip_protocol")) != "tcp" or block.body.get("from_port") != block.body.get(
        "to_port"
    ):
        yield "it opens more than one port"


def _of_text(path: str, text: str) -> Iterator[str]:
    if AWS_KEY.search(text):
        yield f"{path}: an access key of AWS"
    for found in URL_WITH_PASSWORD.finditer(text):
        yield f"{path}: a password in {found[0]}"


def _of_values(files: Files) -> Iterator[str]:
    for path, text in files.items():
        if path.endswith(".tfvars"):
            values = variables_of(text)
            for name, value in values.items():
                if name != "allowed_cidrs" and any(door in str(value) for door in EVERYBODY):
                    yield f"{path}: {name} lets everybody in"
                yield from (
                    f"{path}: {fault}"
                    for fault in _literal_secrets({name: value})
                    if name != "secret_versions"
                )
            if (
                literal(values.get("environment")) == "production"
                and values.get("deletion_protection", True) is not True
            ):
                yield f"{path}: production may be deleted by mistake"
        elif path.endswith(".tfbackend"):
            values = variables_of(text)
            if set(values) != {"bucket", "key", "region", "encrypt", "use_lockfile"}:
                yield f"{path}: sets {sorted(values)}"
            elif values["encrypt"] is not True or values["use_lockfile"] is not True:
                yield f"{path}: the state is encrypted and locked"


def _at(body: Any, path: list[str]) -> Any:
    for name in path:
        if isinstance(body, list):
            body = body[0]
        if not isinstance(body, dict):
            return None
        body = body.get(name)
    return body
