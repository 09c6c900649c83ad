"""The doors by which reports of other forms come in: each reads a stream and gives one record after the other.

A door never fails on dirty data: it repairs and says so, record by record, or refuses a record with its
reason.
"""
