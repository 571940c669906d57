"""One record for each op: operands, attributes, shape rule, reference semantics,
properties and cost.
"""
