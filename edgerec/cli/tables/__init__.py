"""The tables that commands print on the terminal. Each function makes the table of a command's JSON document."""
