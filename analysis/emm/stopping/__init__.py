"""What ends a training, or the sampling of an evaluation, early. numpy and scipy only: trials call it."""
