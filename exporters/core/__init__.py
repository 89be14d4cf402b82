"""What training and proof share: which files are images, how folders of them are read, and how names are compared."""
