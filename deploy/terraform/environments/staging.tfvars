# As small as it goes with everything in it: for trying an upgrade before production has it. Nothing in it is protected.
environment = "staging"
account_id  = "000000000000"
region      = "eu-central-1"
tags        = { CostCenter = "banyan" }

vpc_cidr            = "10.41.0.0/16"
nat_per_zone        = false
interface_endpoints = ["secretsmanager"]

zone_name = "example.org"
hostname  = "staging.todos.example.org"
# Staging is nobody's business but ours.
allowed_cidrs = ["198.51.100.0/24"]
api_cidrs     = ["198.51.100.0/24"]

admin_arns    = ["arn:aws:iam::000000000000:role/platform"]
deployer_arns = ["arn:aws:iam::000000000000:role/banyan-pipeline"]

nodes = {
  instance_types = ["m7i.large"]
  ami_type       = "AL2023_x86_64_STANDARD"
  min            = 3
  max            = 5
  disk_gib       = 30
}

databases = {
  # All processes on one server: thirty pods at most, two relays, and room.
  all = {
    instance_class  = "db.t4g.large"
    allocated_gib   = 20
    max_gib         = 100
    max_connections = 500
    multi_az        = false
    replicas        = 0
  }
}

database_backup_days = 3

valkey = {
  version   = "8.0"
  node_type = "cache.t4g.small"
  nodes     = 1
}

kafka = {
  version          = "3.9.x.kraft"
  instance_type    = "kafka.t3.small"
  brokers_per_zone = 1
  volume_gib       = 20
}

rabbitmq = {
  version       = "3.13"
  instance_type = "mq.m7g.medium"
  clustered     = false
}

smtp = {
  host     = ""
  port     = 587
  user     = ""
  security = "starttls"
  from     = "Banyan <banyan@example.org>"
}

log_days            = 7
archive_days        = 7
deletion_protection = false
