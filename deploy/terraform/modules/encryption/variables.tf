variable "name" {
  description = "Whose key it is."
  type        = string
}

variable "deletion_days" {
  description = "How long a deleted key can be had back. Afterwards nothing that it encrypted can be read."
  type        = number
}
