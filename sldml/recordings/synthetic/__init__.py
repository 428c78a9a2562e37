"""Synthetic recordings of an articulated body, in the format of NTU RGB+D."""
