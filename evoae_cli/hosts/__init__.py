"""Brokers of several hosts: how they find, trust and help each other over TCP. Payloads stay opaque here."""
