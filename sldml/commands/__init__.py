"""The code behind the commands in `launch/`: checking requests, showing progress, printing results."""
