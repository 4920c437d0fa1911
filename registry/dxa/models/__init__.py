"""Networks: the scan encoder that every arm shares, the generator, the autoencoder, and their weights."""
