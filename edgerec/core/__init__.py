"""The base of all packages: errors, atomic files, documents, processes, text and the console."""
