"""What runs in production; what it does to an image is the definition that all else follows."""
