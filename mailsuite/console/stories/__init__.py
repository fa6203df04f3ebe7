"""Stories of messages as people ask for them: found, told, and done something about."""
