"""`edgerec replay`: logged behaviour, played through client, store, models and a server."""
