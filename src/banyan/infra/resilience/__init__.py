"""Limits and protections: what keeps one caller, one dependency or one rush from taking the rest along."""
