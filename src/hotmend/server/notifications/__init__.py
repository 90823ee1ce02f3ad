"""Telling people what they must act on, and once a day what else happened. docs/notifications.md"""
