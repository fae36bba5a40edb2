variable "name" {
  description = "What it is called."
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
  description = "Valkey's version."
  type        = string
}

variable "node_type" {
  description = "The machine."
  type        = string
}

variable "nodes" {
  description = "The primary and its replicas together."
  type        = number
}

variable "auth_token" {
  description = "What a client says to be let in."
  type        = string
  sensitive   = true
}

variable "kms_key_arn" {
  description = "The key of what is on disks."
  type        = string
}
