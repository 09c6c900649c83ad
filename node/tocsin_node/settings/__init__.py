"""The settings: one frozen record from DIR/node.toml and the environment.

Every field is a limit, an address, a choice or the path of a secret; never a secret itself. Its type, bounds and
meaning stand in its section's class and nowhere else: the loader checks against them, and `node_toml` writes the
commented file from them.
"""
