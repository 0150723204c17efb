"""COMMANDS: what ops and the MES ask, on its way to the slots.

messaging (bytes become values) -> driver (steps the planner) -> loader -> gate_runner -> slots.
Back: recorder (a unit of work: one transaction, told after it) -> outbox -> messaging.
"""
