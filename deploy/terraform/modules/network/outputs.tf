output "vpc_id" {
  value = aws_vpc.this.id
}

output "private_subnet_ids" {
  value = [for zone in local.zones : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  value = [for zone in local.zones : aws_subnet.public[zone].id]
}

output "database_subnet_ids" {
  value = [for zone in local.zones : aws_subnet.database[zone].id]
}

output "private_cidrs" {
  description = "Where nodes and pods have their addresses."
  value       = values(local.private)
}

output "database_cidrs" {
  description = "Where the servers have theirs."
  value       = values(local.database)
}
