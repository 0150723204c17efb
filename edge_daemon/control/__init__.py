"""COMMANDS: requests of operators and the MES, on their way to the slots.

messaging (bytes become values) -> driver (steps the planner) -> loader -> gate_runner -> slots.
Back: recorder (a unit of work: one transaction, told after it) -> outbox -> messaging.
"""
