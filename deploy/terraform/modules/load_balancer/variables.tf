variable "name" {
  description = "What it is called, 32 characters at most."
  type        = string
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "subnet_ids" {
  description = "Public subnets, one in each zone."
  type        = list(string)
}

variable "allowed_cidrs" {
  description = "Networks that may open Banyan."
  type        = set(string)
}

variable "node_security_group_id" {
  description = "Of the nodes."
  type        = string
}

variable "autoscaling_group_name" {
  description = "Of the nodes."
  type        = string
}

variable "node_port" {
  description = "Where the gateway answers on each node."
  type        = number
}

variable "certificate_arn" {
  description = "The certificate of the name that people open."
  type        = string
}

variable "zone_id" {
  description = "The zone of that name."
  type        = string
}

variable "hostname" {
  description = "The name that people open."
  type        = string
}

variable "deletion_protection" {
  description = "Whether deleting it is refused."
  type        = bool
}
