# What must stay secret. Passwords of databases and the secret key are made here and go straight into Secrets Manager and to
# the servers: neither the state nor a plan ever holds them. Valkey's and RabbitMQ's cannot be handed over that way by the
# provider; they are in the state, which is a secret for that reason.

locals {
  made = toset(concat(["secret-key"], [for name in var.databases : "database-${name}"]))
}

ephemeral "random_password" "made" {
  for_each = local.made
  length   = 48
  special  = false
}

# Each by itself, so that one can be made anew without the others: see `versions`.
resource "aws_secretsmanager_secret" "made" {
  for_each                = local.made
  name                    = "${var.prefix}/made/${each.value}"
  description             = "Made by Terraform; part of ${var.prefix}/banyan"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_days
}

resource "aws_secretsmanager_secret_version" "made" {
  for_each                 = aws_secretsmanager_secret.made
  secret_id                = each.value.id
  secret_string_wo         = ephemeral.random_password.made[each.key].result
  secret_string_wo_version = lookup(var.versions, each.key, 1)
}

# Read back, never taken from above: there each run makes new ones, and only those of a higher version are kept.
ephemeral "aws_secretsmanager_secret_version" "made" {
  for_each  = aws_secretsmanager_secret_version.made
  secret_id = each.value.secret_id
}

resource "random_password" "valkey" {
  length  = 48
  special = false

  keepers = {
    version = lookup(var.versions, "valkey", 1)
  }
}

# Never made anew: Amazon MQ does not change a user of RabbitMQ, and pods would have a password that the broker does not know.
resource "random_password" "rabbitmq" {
  length  = 48
  special = false
}

# What the chart's External Secrets read: <prefix>/<name of the Kubernetes Secret>, with its keys as properties.
resource "aws_secretsmanager_secret" "banyan" {
  name                    = "${var.prefix}/banyan"
  description             = "What Banyan's processes are told"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_days
}

resource "aws_secretsmanager_secret_version" "banyan" {
  secret_id                = aws_secretsmanager_secret.banyan.id
  secret_string_wo         = jsonencode(merge(var.urls, { "secret-key" = ephemeral.aws_secretsmanager_secret_version.made["secret-key"].secret_string }))
  secret_string_wo_version = var.urls_version
}

# Its value is put in by whoever has it: aws secretsmanager put-secret-value.
resource "aws_secretsmanager_secret" "smtp" {
  count                   = var.has_smtp ? 1 : 0
  name                    = "${var.prefix}/banyan-smtp"
  description             = "The mail server's password, as the property `password`"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_days
}
