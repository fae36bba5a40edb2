variable "name" {
  description = "What the server is called."
  type        = string
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets without a way to the Internet, one in each zone."
  type        = list(string)
}

variable "client_security_group_id" {
  description = "Who may connect."
  type        = string
}

variable "engine_version" {
  description = "PostgreSQL's version; without a minor one AWS takes the newest."
  type        = string
}

variable "instance_class" {
  description = "The machine."
  type        = string
}

variable "allocated_gib" {
  description = "The disk at first, in GiB."
  type        = number
}

variable "max_gib" {
  description = "How far the disk may grow by itself, in GiB."
  type        = number
}

variable "max_connections" {
  description = "Connections of all processes together."
  type        = number
}

variable "multi_az" {
  description = "A second copy in another zone; without it the end of a zone is an outage."
  type        = bool
}

variable "replicas" {
  description = "Copies to read from."
  type        = number
}

variable "backup_days" {
  description = "How many days back it can be restored to any second."
  type        = number
}

variable "database" {
  description = "The database in it."
  type        = string
}

variable "username" {
  description = "Who Banyan is there."
  type        = string
}

variable "password" {
  description = "The password; it is neither in the state nor in a plan."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "password_version" {
  description = "Higher: the password is written again."
  type        = number
}

variable "kms_key_arn" {
  description = "The key of disk, backups, insights and logs."
  type        = string
}

variable "log_days" {
  description = "How long logs are kept."
  type        = number
}

variable "deletion_protection" {
  description = "Whether deleting the server is refused; when it is not, no snapshot is left of it either."
  type        = bool
}
