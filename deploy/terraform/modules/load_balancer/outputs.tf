output "dns_name" {
  description = "AWS's own name of it, for looking past DNS."
  value       = aws_lb.this.dns_name
}
