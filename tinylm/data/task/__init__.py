"""Tasks that probe one ability each: one a file."""
