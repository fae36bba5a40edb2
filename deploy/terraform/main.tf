# Banyan on AWS: a network, a cluster, the servers that Banyan speaks with, and the way in. What runs in the cluster is
# installed by Helm, with the outputs of this.

locals {
  name      = "banyan-${var.environment}"
  namespace = "banyan"
  # Where the gateway answers on each node: kubernetes/gateway.yaml.
  node_port = 30080

  tags = merge(var.tags, {
    Application = "banyan"
    Environment = var.environment
    ManagedBy   = "terraform"
  })

  # What a backend is told about where it is, and who may connect.
  database_user = "banyan"
  database_name = "banyan"
  rabbitmq_user = "banyan"
}

module "encryption" {
  source = "./modules/encryption"

  name          = local.name
  deletion_days = var.deletion_protection ? 30 : 7
}

module "network" {
  source = "./modules/network"

  name                = local.name
  cidr                = var.vpc_cidr
  nat_per_zone        = var.nat_per_zone
  interface_endpoints = var.interface_endpoints
  flow_log_days       = var.log_days
  kms_key_arn         = module.encryption.key_arn
}

module "cluster" {
  source = "./modules/cluster"

  name                 = local.name
  kubernetes_version   = var.kubernetes_version
  subnet_ids           = module.network.private_subnet_ids
  api_cidrs            = var.api_cidrs
  admin_arns           = var.admin_arns
  deployer_arns        = var.deployer_arns
  namespace            = local.namespace
  node_instance_types  = var.nodes.instance_types
  node_ami_type        = var.nodes.ami_type
  node_min             = var.nodes.min
  node_max             = var.nodes.max
  node_disk_gib        = var.nodes.disk_gib
  readable_secret_arns = module.secrets.readable_arns
  kms_key_arn          = module.encryption.key_arn
  log_days             = var.log_days
  deletion_protection  = var.deletion_protection
  tags                 = local.tags
}

module "secrets" {
  source = "./modules/secrets"

  prefix        = local.secrets_prefix
  databases     = keys(var.databases)
  versions      = var.secret_versions
  urls          = local.urls
  urls_version  = local.urls_version
  has_smtp      = var.smtp.host != ""
  recovery_days = var.deletion_protection ? 30 : 0
  kms_key_arn   = module.encryption.key_arn
}

module "database" {
  source   = "./modules/database"
  for_each = var.databases

  name                     = "${local.name}-${each.key}"
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.database_subnet_ids
  client_security_group_id = module.cluster.node_security_group_id
  engine_version           = var.postgresql_version
  instance_class           = each.value.instance_class
  allocated_gib            = each.value.allocated_gib
  max_gib                  = each.value.max_gib
  max_connections          = each.value.max_connections
  multi_az                 = each.value.multi_az
  replicas                 = each.value.replicas
  backup_days              = var.database_backup_days
  database                 = local.database_name
  username                 = local.database_user
  password                 = module.secrets.made["database-${each.key}"]
  password_version         = lookup(var.secret_versions, "database-${each.key}", 1)
  kms_key_arn              = module.encryption.key_arn
  log_days                 = var.log_days
  deletion_protection      = var.deletion_protection
}

module "cache" {
  source = "./modules/cache"

  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.database_subnet_ids
  client_security_group_id = module.cluster.node_security_group_id
  engine_version           = var.valkey.version
  node_type                = var.valkey.node_type
  nodes                    = var.valkey.nodes
  auth_token               = module.secrets.valkey_password
  kms_key_arn              = module.encryption.key_arn
}

module "kafka" {
  source = "./modules/kafka"

  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.database_subnet_ids
  client_security_group_id = module.cluster.node_security_group_id
  kafka_version            = var.kafka.version
  instance_type            = var.kafka.instance_type
  brokers_per_zone         = var.kafka.brokers_per_zone
  volume_gib               = var.kafka.volume_gib
  kms_key_arn              = module.encryption.key_arn
  log_days                 = var.log_days
}

module "rabbitmq" {
  source = "./modules/rabbitmq"

  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.database_subnet_ids
  client_security_group_id = module.cluster.node_security_group_id
  engine_version           = var.rabbitmq.version
  instance_type            = var.rabbitmq.instance_type
  clustered                = var.rabbitmq.clustered
  username                 = local.rabbitmq_user
  password                 = module.secrets.rabbitmq_password
  kms_key_arn              = module.encryption.key_arn
}

module "dns" {
  source = "./modules/dns"

  zone_name   = var.zone_name
  create_zone = var.create_zone
  hostname    = var.hostname
}

module "load_balancer" {
  source = "./modules/load_balancer"

  name                   = local.name
  vpc_id                 = module.network.vpc_id
  subnet_ids             = module.network.public_subnet_ids
  allowed_cidrs          = var.allowed_cidrs
  node_security_group_id = module.cluster.node_security_group_id
  autoscaling_group_name = module.cluster.autoscaling_group_name
  node_port              = local.node_port
  certificate_arn        = module.dns.certificate_arn
  zone_id                = module.dns.zone_id
  hostname               = var.hostname
  deletion_protection    = var.deletion_protection
}

module "backups" {
  source = "./modules/backups"

  name          = "${local.name}-backups"
  keep_days     = var.archive_days
  kms_key_arn   = module.encryption.key_arn
  force_destroy = !var.deletion_protection
}
