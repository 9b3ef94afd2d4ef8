"""One module a format of bounce mail, each with a constant FORMAT; collectors.bounces finds them by itself."""
