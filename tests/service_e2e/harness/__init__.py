"""What the end-to-end tests of the service share."""
