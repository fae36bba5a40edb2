variable "name" {
  description = "What the bucket's name begins with."
  type        = string
}

variable "keep_days" {
  description = "How long an archive is kept."
  type        = number
}

variable "kms_key_arn" {
  description = "The key of the archives."
  type        = string
}

variable "force_destroy" {
  description = "Whether the bucket may be deleted with archives in it."
  type        = bool
}
