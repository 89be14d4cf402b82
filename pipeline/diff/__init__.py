"""Two bundles on the same labelled images: is the new one better, and may it take the place of the old one?"""
