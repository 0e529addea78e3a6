"""What a sweep will run: factors, their trials and searches, and the record of them in `sweep.json`."""
