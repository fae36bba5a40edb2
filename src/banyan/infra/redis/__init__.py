"""Redis or Valkey: what the processes of Banyan know in common. Always an accelerator, never the truth."""
