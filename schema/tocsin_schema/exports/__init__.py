"""One door for each foreign form: checked reports in, bytes out, one report at a time.

Every door has `write`, which takes an iterable of reports and gives pieces of bytes, and `LOSSES`, which
says what its form has no place for. The same reports give the same bytes. Nothing is decided here about who
may have a report: `gate.py` says which ones should stay, and whoever writes the file asks it first.
"""
