"""`edgerec bench compare`: is one build slower than the other, or is it noise?"""
