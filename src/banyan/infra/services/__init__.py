"""Other services of this installation, as a caller sees them."""
