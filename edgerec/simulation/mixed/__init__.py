"""Mixed worlds: products, videos, live rooms and ads in one feed change each other's clicks (docs/simulator.md)."""
