# Everything in three zones, a database for each service. Put your own account, names and roles.
environment = "production"
account_id  = "000000000000"
region      = "eu-central-1"
tags        = { CostCenter = "banyan" }

vpc_cidr     = "10.40.0.0/16"
nat_per_zone = true

zone_name   = "example.org"
create_zone = false
hostname    = "todos.example.org"

admin_arns    = ["arn:aws:iam::000000000000:role/platform"]
deployer_arns = ["arn:aws:iam::000000000000:role/banyan-pipeline"]
api_cidrs     = []

nodes = {
  instance_types = ["m7i.xlarge"]
  ami_type       = "AL2023_x86_64_STANDARD"
  min            = 3
  max            = 9
  disk_gib       = 50
}

databases = {
  # Ten pods and two relays with ten connections each, a rollout beside them, and room for people.
  users = {
    instance_class  = "db.m7g.large"
    allocated_gib   = 50
    max_gib         = 500
    max_connections = 300
    multi_az        = true
    replicas        = 1
  }
  todos = {
    instance_class  = "db.m7g.xlarge"
    allocated_gib   = 100
    max_gib         = 2000
    max_connections = 300
    multi_az        = true
    replicas        = 1
  }
  notifications = {
    instance_class  = "db.m7g.large"
    allocated_gib   = 100
    max_gib         = 1000
    max_connections = 300
    multi_az        = true
    replicas        = 1
  }
}

database_pool_size   = 10
database_backup_days = 14

valkey = {
  version   = "8.0"
  node_type = "cache.r7g.large"
  nodes     = 3
}

kafka = {
  version          = "3.9.x.kraft"
  instance_type    = "kafka.m7g.large"
  brokers_per_zone = 1
  volume_gib       = 250
}

rabbitmq = {
  version       = "3.13"
  instance_type = "mq.m7g.large"
  clustered     = true
}

smtp = {
  host     = "email-smtp.eu-central-1.amazonaws.com"
  port     = 587
  user     = "put-your-smtp-user"
  security = "starttls"
  from     = "Banyan <banyan@example.org>"
}

log_days            = 90
archive_days        = 35
deletion_protection = true
