"""A sweep's report, the site over all claims, and a study told in a notebook."""
