"""Real clients, each as its users have it, all asking one server the same questions."""
