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
  description = "RabbitMQ's version."
  type        = string
}

variable "instance_type" {
  description = "The machine of a node."
  type        = string
}

variable "clustered" {
  description = "Three nodes in three zones, or one."
  type        = bool
}

variable "username" {
  description = "Who Banyan is there."
  type        = string
}

variable "password" {
  description = "Its password."
  type        = string
  sensitive   = true
}

variable "kms_key_arn" {
  description = "The key of the disks."
  type        = string
}
