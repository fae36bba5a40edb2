variable "prefix" {
  description = "What the names of secrets begin with."
  type        = string
}

variable "databases" {
  description = "The databases that need a password."
  type        = set(string)
}

variable "versions" {
  description = "Versions of `secret-key`, `database-…` and `valkey`, 1 if not named. Higher: it is made anew."
  type        = map(number)
}

variable "urls" {
  description = "The properties of the secret that Banyan reads, but for the secret key."
  type        = map(string)
  sensitive   = true
  ephemeral   = true
}

variable "urls_version" {
  description = "Another number whenever one of them is another."
  type        = number
}

variable "has_smtp" {
  description = "Whether there is a place for a mail server's password."
  type        = bool
}

variable "recovery_days" {
  description = "How long a deleted secret can be had back; 0 deletes at once."
  type        = number
}

variable "kms_key_arn" {
  description = "The key of the secrets."
  type        = string
}
