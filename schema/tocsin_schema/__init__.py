"""What an AI incident is: the profile, its checks, its severity.

Pure code; only the import doors read, and they read streams that the caller opened.
"""
