"""Pictures, one kind a file. They are given what they show and know nothing of where it comes from."""
