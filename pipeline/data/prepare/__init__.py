"""Data sets fetched from where their authors keep them: downloaded, checked, unpacked and counted."""
