output "zone_id" {
  value = local.zone_id
}

output "name_servers" {
  description = "What the registrar has to be told; empty when the zone was there already."
  value       = var.create_zone ? aws_route53_zone.this[0].name_servers : []
}

output "certificate_arn" {
  description = "Of the certificate, once it is valid."
  value       = aws_acm_certificate_validation.this.certificate_arn
}
