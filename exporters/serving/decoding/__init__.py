"""Decodes uploads in processes of their own, so that no image can stop, fill or end the server.

A decoder is small (numpy and Pillow), may take so much memory and no more, and is killed at its time limit.
"""
