"""When trials run, fail, are tried again and are stopped."""
