"""The Language Server Protocol adapter: editors on one side, the gRPC client on the other."""
