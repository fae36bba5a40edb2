# What Banyan's processes are told: secrets by Secrets Manager, the rest by the values of the chart.

locals {
  secrets_prefix = "banyan/${var.environment}"

  # One database for everything, or one for each module.
  database_keys = { for name in keys(var.databases) : name => name == "all" ? "database-url" : "${name}-database-url" }

  # TLS, without a look at who signed the certificate: RDS's authority is in no system's store.
  database_urls = {
    for name, key in local.database_keys : key => format(
      "postgresql://%s:%s@%s/%s?sslmode=require",
      local.database_user,
      module.secrets.made["database-${name}"],
      module.database[name].endpoint,
      local.database_name,
    )
  }

  urls = merge(local.database_urls, {
    "redis-url" = "rediss://:${module.secrets.valkey_password}@${module.cache.host}:6379/0"
    "amqp-url"  = "amqps://${local.rabbitmq_user}:${module.secrets.rabbitmq_password}@${module.rabbitmq.endpoint}/"
  })

  # Of everything in `urls` that is no secret, and of the versions of what is.
  urls_version = parseint(substr(sha256(jsonencode([
    var.secret_versions,
    { for name, database in module.database : name => database.endpoint },
    module.cache.host,
    module.rabbitmq.endpoint,
  ])), 0, 7), 16)

  # Which key of which Kubernetes Secret holds what: deploy/helm/banyan/values.yaml, `secrets`.
  secrets = merge(
    {
      secretKey             = { name = "banyan", key = "secret-key" }
      redis                 = { name = "banyan", key = "redis-url" }
      amqp                  = { name = "banyan", key = "amqp-url" }
      database              = null
      usersDatabase         = null
      todosDatabase         = null
      notificationsDatabase = null
      smtpPassword          = var.smtp.host == "" ? null : { name = "banyan-smtp", key = "password" }
    },
    { for name, key in local.database_keys : name == "all" ? "database" : "${name}Database" => { name = "banyan", key = key } },
  )

  # As a NetworkPolicy names them.
  backend_peers = [for cidr in module.network.database_cidrs : { ipBlock = { cidr = cidr } }]

  helm_values = templatefile("${path.module}/kubernetes/values.yaml.tftpl", {
    hostname       = var.hostname
    secrets        = jsonencode(local.secrets)
    secrets_prefix = local.secrets_prefix
    kafka_servers  = jsonencode(module.kafka.servers)
    smtp           = jsonencode(var.smtp)
    # The gateway's pods, which alone speak with Banyan's from outside the namespace.
    gateway_networks = jsonencode(module.network.private_cidrs)
    backend_peers    = jsonencode(local.backend_peers)
    pool_size        = var.database_pool_size
  })

  secret_store = templatefile("${path.module}/kubernetes/secret-store.yaml.tftpl", { region = var.region })
}
