variable "zone_name" {
  description = "The domain whose zone holds the records."
  type        = string
}

variable "create_zone" {
  description = "Whether the zone is made here; then the domain's registrar has to be told its name servers."
  type        = bool
}

variable "hostname" {
  description = "The name that people open."
  type        = string
}
