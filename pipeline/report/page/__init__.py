"""The page of a run: facts from its files, evidence from its networks, figures, and the HTML that shows them."""
