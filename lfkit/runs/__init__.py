"""Run folders: what is stored in them, how it is read back, and how work resumes."""
