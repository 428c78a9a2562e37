"""What the commands in `launch/` call: what was asked for, and what a person sees meanwhile."""
