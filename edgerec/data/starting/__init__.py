"""`edgerec init`: from tables of impressions and clicks to a converter and a feature specification.

`start.py` is the whole way. Each other file has one of its questions: what a table is, which column has which role, how
times, clicks and lists are written, and which features a column becomes.
"""
