"""What a user types: one file a command. Only here are terminals and pictures drawn."""
