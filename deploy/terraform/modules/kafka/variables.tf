variable "name" {
  description = "What the cluster is called."
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

variable "kafka_version" {
  description = "Kafka's version, one with KRaft."
  type        = string
}

variable "instance_type" {
  description = "The machine of a broker."
  type        = string
}

variable "brokers_per_zone" {
  description = "Brokers in each zone."
  type        = number
}

variable "volume_gib" {
  description = "The disk of a broker, in GiB."
  type        = number
}

variable "kms_key_arn" {
  description = "The key of disks and logs."
  type        = string
}

variable "log_days" {
  description = "How long logs are kept."
  type        = number
}
