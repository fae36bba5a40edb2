output "servers" {
  description = "HOST:PORT of the brokers, TLS."
  value       = sort(split(",", aws_msk_cluster.this.bootstrap_brokers_tls))
}
