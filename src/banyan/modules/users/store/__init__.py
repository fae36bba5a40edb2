"""SQL of users, one file a table. Every function takes the transaction it works in."""
