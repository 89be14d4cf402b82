"""What the site has beside the pages of docs/: pages made from the code, and pages of files that lie elsewhere."""
