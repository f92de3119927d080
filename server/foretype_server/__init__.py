"""The engine (states and search) and the gRPC services around it."""
