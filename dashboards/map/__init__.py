"""The map of the live page, of a replay and of an alert: base, heat, drones and alerts."""
