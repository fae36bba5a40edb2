"""No secret, no open door, nothing unencrypted in Terraform's files; each kind of fault is planted once and found."""

import pytest
from tests.support.terraform import planted, read_files
from tests.support.terraform_safety import faults

FILES = read_files()

# File, what is there, what is put in its place, what has to be said.
PLANTED = [
    (
        "modules/rabbitmq/main.tf",
        "password = var.password",
        'password = "let me in"',
        "password is written down",
    ),
    ("modules/cache/main.tf", "= var.auth_token", '= "let-me-in-let-me-in"', "auth_token is written down"),
    (
        "modules/database/variables.tf",
        "  sensitive   = true\n",
        "",
        "variable password is not marked as sensitive",
    ),
    ("settings.tf", "rediss://:${module", "rediss://:secret@${module", "a password in rediss://:secret@"),
    (
        "environments/production.tfvars",
        '"put-your-smtp-user"',
        '"AKIAIOSFODNN7EXAMPLE"',
        "an access key of AWS",
    ),
    ("environments/production.tfvars", 'user     = "put', 'password = "put', "password is written down"),
    (
        "environments/staging.tfvars",
        'api_cidrs     = ["198.51.100.0/24"]',
        'api_cidrs = ["0.0.0.0/0"]',
        "api_cidrs lets everybody in",
    ),
    (
        "environments/production.tfvars",
        "deletion_protection = true",
        "deletion_protection = false",
        "production may be deleted by mistake",
    ),
    (
        "backends/production.s3.tfbackend",
        "use_lockfile = true",
        "use_lockfile = false",
        "the state is encrypted and locked",
    ),
    ("backends/staging.s3.tfbackend", "encrypt      = true\n", "", "backends/staging.s3.tfbackend: sets"),
    (
        "modules/network/endpoints.tf",
        "cidr_ipv4         = var.cidr",
        'cidr_ipv4 = "0.0.0.0/0"',
        "cidr_ipv4 lets everybody in",
    ),
    (
        "modules/network/endpoints.tf",
        "to_port           = 443",
        "to_port = 444",
        "it opens more than one port",
    ),
    (
        "modules/kafka/main.tf",
        'description = "Kafka, from the nodes"',
        "ingress = []",
        "its rules belong into resources of their own",
    ),
    (
        "modules/database/main.tf",
        "storage_encrypted     = true",
        "storage_encrypted = false",
        "storage_encrypted is False",
    ),
    (
        "modules/database/main.tf",
        "publicly_accessible    = false",
        "publicly_accessible = true",
        "publicly_accessible is True",
    ),
    (
        "modules/database/main.tf",
        "  deletion_protection       = var.deletion_protection\n",
        "",
        "deletion_protection is None",
    ),
    ("modules/cache/main.tf", '"required"', '"preferred"', "transit_encryption_mode is"),
    ("modules/kafka/main.tf", '"TLS"', '"TLS_PLAINTEXT"', "client_broker is"),
    (
        "modules/rabbitmq/main.tf",
        "publicly_accessible        = false",
        "publicly_accessible = true",
        "publicly_accessible is True",
    ),
    ("modules/cluster/nodes.tf", '"required"', '"optional"', "http_tokens is"),
    (
        "modules/cluster/nodes.tf",
        "encrypted             = true",
        "encrypted = false",
        "ebs.encrypted is False",
    ),
    (
        "modules/cluster/main.tf",
        "bootstrap_cluster_creator_admin_permissions = false",
        "bootstrap_cluster_creator_admin_permissions = true",
        "creator_admin_permissions is True",
    ),
    ("modules/network/flow_logs.tf", "  kms_key_id        = var.kms_key_arn\n", "", "kms_key_id is None"),
    (
        "modules/encryption/main.tf",
        "enable_key_rotation     = true",
        "enable_key_rotation = false",
        "enable_key_rotation is False",
    ),
    ("modules/load_balancer/main.tf", 'protocol          = "TLS"', 'protocol = "TCP"', "protocol is"),
    (
        "modules/backups/main.tf",
        'resource "aws_s3_bucket_versioning" "this"',
        'resource "aws_s3_bucket_acl" "this"',
        "a bucket without aws_s3_bucket_versioning",
    ),
    (
        "modules/backups/main.tf",
        "block_public_acls       = true",
        "block_public_acls = false",
        "block_public_acls is False",
    ),
    ("versions.tf", '"~> 6.25"', '">= 6.25"', "aws may change its major version"),
    ("versions.tf", '  required_version = ">= 1.11"\n', "", "no version of Terraform is required"),
    (
        "modules/secrets/versions.tf",
        "    random = {",
        "    randoms = {",
        "no version of the provider random is required",
    ),
]


def test_nothing_is_secret_open_or_unencrypted() -> None:
    assert faults(FILES) == []


@pytest.mark.parametrize(("path", "there", "fault", "said"), PLANTED)
def test_a_planted_fault_is_found(path: str, there: str, fault: str, said: str) -> None:
    found = faults(planted(FILES, path, there, fault))
    assert any(said in one for one in found), found
