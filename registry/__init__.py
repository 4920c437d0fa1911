"""What can be compared: contracts, the catalogue, declared suites and the domains."""
