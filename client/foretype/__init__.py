"""Foretype: local code completion by a character LSTM that knows your code.

This package is its public face: the gRPC protocol, the clients and the command.
"""
