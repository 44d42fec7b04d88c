"""A world whose law is known: laws, words, facts and a grammar, and what can be done with a grammar."""
