output "endpoint" {
  description = "HOST:PORT."
  value       = aws_db_instance.this.endpoint
}

output "replica_endpoints" {
  description = "HOST:PORT of each copy to read from."
  value       = [for replica in aws_db_instance.replica : replica.endpoint]
}
