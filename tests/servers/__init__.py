"""Real mail servers, each as a private instance of one test."""
