"""A second reader of the protocol, written from PROTOCOL.md and the documents it names, and from nothing else.

It shares no code with the package: json, hashlib, PyNaCl's bindings, and the oracle for X-Wing in `x_wing.py`. Each
function returns None, or what was read, when what it was given may be taken; else the code of the first rule that does
not hold. A module is a section or two of the text.
"""
