"""The networks in training: graphs, losses, loops."""
