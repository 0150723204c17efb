"""Slots: the places where bundles are resident, and the one that is active."""
