"""Everything that Terraform's files refer to is there and of the right shape; each kind of fault is planted once and found."""

import pytest
from tests.support.terraform import modules, planted, read_files, references
from tests.support.terraform_references import SCHEMA, faults

FILES = read_files()

# File, what is there, what is put in its place, what has to be said.
PLANTED = [
    (
        "modules/cache/main.tf",
        "var.node_type",
        "var.node_typ",
        "modules/cache: resource aws_elasticache_replication_group.this refers to var.node_typ: no such variable",
    ),
    (
        "modules/cache/main.tf",
        "var.node_type",
        '"cache.t4g.small"',
        "modules/cache: var.node_type is used by nobody",
    ),
    ("main.tf", "local.rabbitmq_user", "local.rabbit_user", "no such local value"),
    (
        "main.tf",
        "  node_port = 30080",
        "  node_port = 30080\n  forgotten = 1",
        "local.forgotten is used by nobody",
    ),
    (
        "main.tf",
        "module.network.private_subnet_ids",
        "module.network.private_subnets",
        "refers to module.network.private_subnets: no such output",
    ),
    ("main.tf", "module.network.vpc_id", "module.networks.vpc_id", "no such module"),
    ("main.tf", "  hostname    = var.hostname\n", "", "module dns is not given hostname"),
    (
        "main.tf",
        "  hostname    = var.hostname\n",
        "  hostname = var.hostname\n  host = var.hostname\n",
        "module dns is given host, which it does not take",
    ),
    ("main.tf", '"./modules/dns"', '"./modules/names"', "module dns is nowhere"),
    ("main.tf", '"./modules/dns"', '"./modules/backups"', "modules/dns is called by nobody"),
    (
        "outputs.tf",
        "database.replica_endpoints",
        "database.replicas",
        "refers to module.database.replicas: no such output",
    ),
    (
        "outputs.tf",
        "module.load_balancer.dns_name",
        '""',
        "modules/load_balancer: output dns_name is read by nobody",
    ),
    (
        "modules/cluster/outputs.tf",
        "autoscaling_groups[0]",
        "autoscaling_group[0]",
        "it has no autoscaling_group",
    ),
    (
        "modules/network/main.tf",
        "aws_vpc.this.id",
        "aws_vpc.main.id",
        "refers to aws_vpc.main.id: nobody declares it",
    ),
    (
        "modules/network/main.tf",
        "data.aws_availability_zones.available.names",
        "data.aws_availability_zones.all.names",
        "nobody declares it",
    ),
    (
        "modules/network/endpoints.tf",
        "aws_region.current.region}.s3",
        "aws_region.current.code}.s3",
        "it has no code",
    ),
    (
        "modules/secrets/main.tf",
        "ephemeral.random_password.made",
        "ephemeral.random_password.passwords",
        "nobody declares it",
    ),
    (
        "modules/database/main.tf",
        "multi_az               =",
        "multi_zone             =",
        "multi_zone cannot be set",
    ),
    (
        "modules/database/main.tf",
        "  instance_class = var.instance_class\n\n",
        "\n",
        "aws_db_instance.this: instance_class is missing",
    ),
    ("modules/database/main.tf", "apply_method =", "method =", "parameter: method cannot be set"),
    (
        "modules/kafka/main.tf",
        "  configuration_info {",
        "  configuration_info = {",
        "configuration_info is a block",
    ),
    ("modules/rabbitmq/main.tf", "  logs {", "  log {", "log cannot be set"),
    (
        "modules/cluster/main.tf",
        '"aws_eks_addon" "first"',
        '"aws_eks_add_on" "first"',
        "aws_eks_add_on is not known to the provider",
    ),
    (
        "modules/backups/main.tf",
        "data.aws_iam_policy_document.encrypted_transport.json",
        '"{}"',
        "data.aws_iam_policy_document.encrypted_transport is used by nobody",
    ),
    ("modules/network/main.tf", "slice(data.", "slices(data.", "no such function"),
    (
        "modules/network/main.tf",
        "  for_each          = local.public\n",
        "",
        "refers to each.key: outside of for_each and count",
    ),
    (
        "variables.tf",
        "length(var.admin_arns) > 0",
        "length(var.deployer_arns) > 0",
        "the validation of admin_arns looks at var.deployer_arns",
    ),
    (
        "environments/staging.tfvars",
        "log_days ",
        "log_day ",
        "environments/staging.tfvars: log_day is not declared",
    ),
    (
        "environments/production.tfvars",
        'hostname    = "todos.example.org"\n',
        "",
        "environments/production.tfvars: hostname is missing",
    ),
    (
        "environments/production.tfvars",
        "  clustered     = true\n",
        "",
        "rabbitmq: its fields are not those of its type: clustered",
    ),
    (
        "environments/production.tfvars",
        "replicas        = 1",
        "replica        = 1",
        "databases: its fields are not those of its type: replica, replicas",
    ),
]


def test_nothing_is_undefined_unused_or_misshapen() -> None:
    assert faults(FILES) == []


@pytest.mark.parametrize(("path", "there", "fault", "said"), PLANTED)
def test_a_planted_fault_is_found(path: str, there: str, fault: str, said: str) -> None:
    found = faults(planted(FILES, path, there, fault))
    assert any(said in one for one in found), found


@pytest.mark.parametrize("broken", ['variable "x" {', 'locals { a = "${var.b" }', "locals { a == 1 }"])
def test_what_is_no_terraform_is_refused(broken: str) -> None:
    with pytest.raises(Exception, match=r"Unexpected|token|line"):
        modules({"broken.tf": broken})


def test_references_are_found_in_strings_indexes_and_for_expressions() -> None:
    expression = '${{for key, value in var.a[local.b].c : "x-${module.d["${each.key}"].e}" => value.f if upper("no.reference") != ""}}'
    assert [str(one) for one in references(expression)] == [
        "local.b",
        "var.a.[].c",
        "each.key",
        "module.d.[].e",
        "value.f",
        "upper",
    ]


def test_the_schema_is_that_of_a_version_that_is_allowed() -> None:
    major, minor, _ = (int(part) for part in SCHEMA["provider"].split("."))
    assert f'version = "~> {major}.{minor}"' in FILES["versions.tf"]
