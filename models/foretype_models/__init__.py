"""What a model is: alphabet, cells, network, the bundle on disk and the registry of bundles."""
