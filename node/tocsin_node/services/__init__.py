"""The verbs of the node. They know neither HTTP nor SQL."""
