"""Networks: where layers and boxes meet."""
