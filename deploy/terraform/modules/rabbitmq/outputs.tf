output "endpoint" {
  description = "HOST:PORT, TLS."
  value       = trimprefix(aws_mq_broker.this.instances[0].endpoints[0], "amqps://")
}
