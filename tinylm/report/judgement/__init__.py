"""From runs to verdicts: which may be compared, what the comparison says, and how it is put into words."""
