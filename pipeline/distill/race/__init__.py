"""`distill.method: auto`: its candidates, its settings and the rules of successive halving. No torch here."""
