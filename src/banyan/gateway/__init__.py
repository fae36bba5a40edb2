"""The gateway: the configuration of the Envoy in front of the services, made from the routes that they declare."""
