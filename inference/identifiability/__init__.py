"""What readings can tell of each parameter, what they cannot, and which readings would tell most next."""
