"""Off-policy evaluation: how many clicks another order would have got, from logs in which places were explored."""
