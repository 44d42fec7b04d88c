"""How text becomes ids: one trainer a file."""
