"""The folders and processes of a Ray that a sweep starts for itself."""
