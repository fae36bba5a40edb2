variable "environment" {
  description = "Which installation this is; part of every name."
  type        = string

  validation {
    # The longest name made of it is a prefix of a role's, banyan-<environment>-notifications-rds-, with 38 characters at most.
    condition     = can(regex("^[a-z][a-z0-9]{1,11}$", var.environment))
    error_message = "Lower-case letters and digits, 2 to 12, beginning with a letter."
  }
}

variable "account_id" {
  description = "The AWS account. With the credentials of another one nothing is done."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "Twelve digits."
  }
}

variable "region" {
  description = "The AWS region; one with three zones."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "Such as eu-central-1."
  }
}

variable "tags" {
  description = "More tags for everything."
  type        = map(string)
  default     = {}
}

variable "deletion_protection" {
  description = "Refuses to delete cluster, databases, load balancer and archives; what is deleted all the same can be had back for 30 days where AWS offers that."
  type        = bool
  default     = true
}

variable "log_days" {
  description = "How long logs are kept, in days."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_days)
    error_message = "One of the numbers that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731."
  }
}

# The network

variable "vpc_cidr" {
  description = "The addresses of the network: a private /16 that no network it will be joined with uses."
  type        = string
  default     = "10.40.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && can(regex("^(10|172|192)\\..*/16$", var.vpc_cidr))
    error_message = "A private network with /16, such as 10.40.0.0/16."
  }
}

variable "nat_per_zone" {
  description = "A NAT gateway in each zone. One for all is cheaper, and the end of its zone stops webhooks, mail and pulling images."
  type        = bool
  default     = true
}

variable "interface_endpoints" {
  description = "AWS services that are reached without the Internet. Each costs by the hour and zone."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "sts"]
}

variable "allowed_cidrs" {
  description = "Networks that may open Banyan."
  type        = set(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = alltrue([for cidr in var.allowed_cidrs : can(cidrhost(cidr, 0))])
    error_message = "Networks such as 0.0.0.0/0 or 198.51.100.0/24."
  }
}

# The name

variable "zone_name" {
  description = "The domain whose Route 53 zone holds the records, such as example.org."
  type        = string
}

variable "create_zone" {
  description = "Whether that zone is made here. Then the registrar has to be told its name servers before the certificate can be had."
  type        = bool
  default     = false
}

variable "hostname" {
  description = "The name that people open, such as todos.example.org."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.hostname))
    error_message = "A host name without https://."
  }
}

# The cluster

variable "kubernetes_version" {
  description = "The version of Kubernetes, one that the chart was checked with."
  type        = string
  default     = "1.35"

  validation {
    condition     = contains(["1.35", "1.36", "1.37"], var.kubernetes_version)
    error_message = "1.35, 1.36 or 1.37: see docs/guide/kubernetes.md."
  }
}

variable "api_cidrs" {
  description = "Networks that reach the Kubernetes API from outside. Empty: only from inside the VPC."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.api_cidrs : can(cidrhost(cidr, 0)) && !can(regex("/0$", cidr))])
    error_message = "Networks of your own, such as 198.51.100.0/24; not everybody's."
  }
}

variable "admin_arns" {
  description = "IAM roles or users that may do everything in the cluster. Nobody else can, whoever made it included."
  type        = set(string)

  validation {
    condition     = length(var.admin_arns) > 0 && alltrue([for arn in var.admin_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/", arn))])
    error_message = "At least one ARN of a role or a user."
  }
}

variable "deployer_arns" {
  description = "IAM roles that may deploy into the namespace of Banyan, such as a pipeline's."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.deployer_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/", arn))])
    error_message = "ARNs of roles."
  }
}

variable "nodes" {
  description = "The machines that pods run on. `ami_type` goes with their processor."
  type = object({
    instance_types = list(string)
    ami_type       = string
    min            = number
    max            = number
    disk_gib       = number
  })

  validation {
    condition     = contains(["AL2023_x86_64_STANDARD", "AL2023_ARM_64_STANDARD"], var.nodes.ami_type)
    error_message = "AL2023_x86_64_STANDARD or AL2023_ARM_64_STANDARD, as the image was built."
  }

  validation {
    condition     = var.nodes.min >= 3 && var.nodes.max >= var.nodes.min && length(var.nodes.instance_types) > 0 && var.nodes.disk_gib >= 20
    error_message = "At least three nodes, one for each zone, 20 GiB each, and a machine."
  }
}

# The servers

variable "postgresql_version" {
  description = "PostgreSQL's major version."
  type        = string
  default     = "17"

  validation {
    condition     = contains(["15", "16", "17"], var.postgresql_version)
    error_message = "15, 16 or 17."
  }
}

variable "databases" {
  description = "`all`: one PostgreSQL for everything; or `users`, `todos` and `notifications`, one for each. `max_connections` covers all processes at their largest number."
  type = map(object({
    instance_class  = string
    allocated_gib   = number
    max_gib         = number
    max_connections = number
    multi_az        = bool
    replicas        = number
  }))

  validation {
    condition     = contains(["all", "notifications,todos,users"], join(",", sort(keys(var.databases))))
    error_message = "Either `all`, or `users`, `todos` and `notifications`."
  }

  validation {
    condition     = alltrue([for database in values(var.databases) : database.allocated_gib >= 20 && database.max_gib > database.allocated_gib && database.max_connections >= 100 && database.replicas >= 0 && database.replicas <= 15])
    error_message = "At least 20 GiB, room to grow, 100 connections, and 0 to 15 replicas."
  }
}

variable "database_pool_size" {
  description = "BANYAN_DATABASE_POOL_SIZE: most connections of one process."
  type        = number
  default     = 10

  validation {
    condition     = var.database_pool_size >= 2 && var.database_pool_size <= 1000
    error_message = "2 to 1000."
  }
}

variable "database_backup_days" {
  description = "How many days back PostgreSQL can be restored to any second."
  type        = number
  default     = 14

  validation {
    # A replica needs backups of its source.
    condition     = var.database_backup_days >= 1 && var.database_backup_days <= 35
    error_message = "1 to 35."
  }
}

variable "valkey" {
  description = "`nodes`: the primary and its replicas together; from two on one takes over when the primary dies."
  type = object({
    version   = string
    node_type = string
    nodes     = number
  })

  validation {
    condition     = can(regex("^[78]\\.[0-9]$", var.valkey.version)) && var.valkey.nodes >= 1 && var.valkey.nodes <= 6
    error_message = "A version such as 8.0, and 1 to 6 nodes."
  }
}

variable "kafka" {
  description = "`version` is one with KRaft. Each of the three zones has as many brokers."
  type = object({
    version          = string
    instance_type    = string
    brokers_per_zone = number
    volume_gib       = number
  })

  validation {
    condition     = can(regex("\\.kraft$", var.kafka.version)) && var.kafka.brokers_per_zone >= 1 && var.kafka.volume_gib >= 10
    error_message = "A version that ends in .kraft, at least one broker a zone with 10 GiB."
  }
}

variable "rabbitmq" {
  description = "`clustered`: three nodes in three zones, or one."
  type = object({
    version       = string
    instance_type = string
    clustered     = bool
  })

  validation {
    # Delivery limits and quorum queues as Banyan declares them.
    condition     = can(regex("^(3\\.13|4\\.[0-9]+)$", var.rabbitmq.version))
    error_message = "3.13 or later."
  }
}

variable "smtp" {
  description = "The mail server. `host` empty: mails lie in the pod and are lost with it. Its password goes into Secrets Manager: docs/guide/aws.md."
  type = object({
    host     = string
    port     = number
    user     = string
    security = string
    from     = string
  })

  validation {
    condition     = contains(["starttls", "tls", "none"], var.smtp.security)
    error_message = "`security` is starttls, tls or none."
  }
}

variable "secret_versions" {
  description = "Higher numbers make secrets anew: `secret-key`, `database-<name>`, `valkey`. Each is 1 at first. RabbitMQ's cannot be made anew: Amazon MQ changes no user of it."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.secret_versions) : can(regex("^(secret-key|valkey|database-(all|users|todos|notifications))$", name))])
    error_message = "Names are secret-key, valkey, database-all, database-users, database-todos and database-notifications."
  }
}

variable "archive_days" {
  description = "How long archives of `banyan backup` are kept."
  type        = number
  default     = 35

  validation {
    condition     = var.archive_days >= 1
    error_message = "At least a day."
  }
}
