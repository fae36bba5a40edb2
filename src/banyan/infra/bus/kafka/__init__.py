"""Kafka as the bus: the only package that knows aiokafka. docs/guide/kafka.md says what it promises."""
