variable "name" {
  description = "What everything here is called."
  type        = string
}

variable "cidr" {
  description = "The addresses of the network, a /16."
  type        = string
}

variable "nat_per_zone" {
  description = "A NAT gateway in each zone, or one for all."
  type        = bool
}

variable "interface_endpoints" {
  description = "AWS services that are reached without the Internet, such as `secretsmanager`."
  type        = set(string)
}

variable "flow_log_days" {
  description = "How long flow logs are kept."
  type        = number
}

variable "kms_key_arn" {
  description = "The key of the logs."
  type        = string
}
