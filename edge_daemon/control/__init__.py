"""COMMANDS: what ops and the MES ask, on its way to the slots.

mqtt, local_socket -> inbox, orders (bytes become values) -> driver (steps the planner)
-> loader -> gate_runner -> slots.  Back: recorder (durable answers) -> outbox -> mqtt.
"""
