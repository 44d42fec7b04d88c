"""What a sweep declares before anything runs, and which run serves which arm."""
