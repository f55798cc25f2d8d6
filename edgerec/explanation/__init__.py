"""Why a list is in its order: what each behaviour did to each candidate of a logged request (figure 6)."""
