"""What the node talks to outside itself: other nodes, and the places where people are told.

Each module is the one door to its protocol. Links answer with values and never write to the database.
"""
