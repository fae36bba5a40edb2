variable "name" {
  description = "What the cluster is called."
  type        = string
}

variable "kubernetes_version" {
  description = "Such as 1.35."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, one in each zone."
  type        = list(string)
}

variable "api_cidrs" {
  description = "Networks that reach the API server from outside. Empty: only from inside the VPC."
  type        = list(string)
}

variable "admin_arns" {
  description = "IAM roles or users that may do everything in the cluster."
  type        = set(string)
}

variable "deployer_arns" {
  description = "IAM roles that deploy into the namespace of Banyan."
  type        = set(string)
}

variable "namespace" {
  description = "Where Banyan is installed."
  type        = string
}

variable "node_instance_types" {
  description = "Machines of the nodes."
  type        = list(string)
}

variable "node_ami_type" {
  description = "Their system; it goes with the machines' processor."
  type        = string
}

variable "node_min" {
  description = "Fewest nodes."
  type        = number
}

variable "node_max" {
  description = "Most nodes."
  type        = number
}

variable "node_disk_gib" {
  description = "The disk of a node, in GiB."
  type        = number
}

variable "readable_secret_arns" {
  description = "Secrets that External Secrets may read."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "The key of Kubernetes Secrets, volumes and logs."
  type        = string
}

variable "log_days" {
  description = "How long the control plane's logs are kept."
  type        = number
}

variable "deletion_protection" {
  description = "Whether deleting the cluster is refused."
  type        = bool
}

variable "tags" {
  description = "Of machines and disks, which the provider's default tags do not reach."
  type        = map(string)
}
