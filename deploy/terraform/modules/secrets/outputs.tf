output "made" {
  description = "The passwords of databases, as database-<name>."
  value       = { for name, secret in ephemeral.aws_secretsmanager_secret_version.made : name => secret.secret_string }
  sensitive   = true
  ephemeral   = true
}

output "valkey_password" {
  value     = random_password.valkey.result
  sensitive = true
}

output "rabbitmq_password" {
  value     = random_password.rabbitmq.result
  sensitive = true
}

output "readable_arns" {
  description = "What External Secrets may read."
  value       = concat([aws_secretsmanager_secret.banyan.arn], aws_secretsmanager_secret.smtp[*].arn)
}
