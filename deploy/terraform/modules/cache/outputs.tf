output "host" {
  description = "The primary, whichever node that is."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}
