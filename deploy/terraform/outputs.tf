output "kubeconfig_command" {
  description = "Writes the cluster's address into the kubeconfig."
  value       = "aws eks update-kubeconfig --region ${var.region} --name ${module.cluster.name}"
}

output "helm_values" {
  description = "For `helm upgrade --install banyan deploy/helm/banyan --values`. Holds no secret."
  value       = local.helm_values
}

output "secret_store" {
  description = "For `kubectl apply -f -`, when External Secrets is there."
  value       = local.secret_store
}

output "name_servers" {
  description = "What the domain's registrar has to be told, when the zone was made here."
  value       = module.dns.name_servers
}

output "public_url" {
  description = "What people open."
  value       = "https://${var.hostname}"
}

output "load_balancer" {
  description = "The same by AWS's own name, for looking past DNS."
  value       = module.load_balancer.dns_name
}

output "database_endpoints" {
  description = "HOST:PORT of each PostgreSQL."
  value       = { for name, database in module.database : name => database.endpoint }
}

output "database_replica_endpoints" {
  description = "HOST:PORT of the copies to read from."
  value       = { for name, database in module.database : name => database.replica_endpoints }
}

output "backups_bucket" {
  description = "Where archives of `banyan backup` go."
  value       = module.backups.bucket
}
