"""A test of mixing policies at equal realised share, in a simulated world (docs/mixing.md, "The test of policies")."""
