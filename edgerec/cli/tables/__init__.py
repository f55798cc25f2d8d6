"""Tables that the terminal shows of results. Each function takes the document of a command."""
